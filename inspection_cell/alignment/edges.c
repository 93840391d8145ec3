/* The inner loops of the edge alignment: which edges a camera sees, the image's edges across them, and the pose's steps.

Everything is in the optical frame of a pinhole (fx, skew, cx, fy, cy) with pixel centres at whole numbers; a pose is the
upper three rows of T_camera_part, row by row. kernel.py calls these functions; the tests say the same in numpy. */

#include "edges.h"

enum { CANDIDATES = 4, MOST_STEPS = 64 };
int edges_version(void) { return 6; }

/* Draws faces into `inverse` (h, w), 1 / depth of the nearest surface, 0 where nothing is. `scratch`: 3 n numbers.

`closed`: the faces enclose a body and turn their corners anticlockwise seen from outside, so those seen from behind need
not be drawn. */
void edges_depth(const double *pose, const pinhole *k, const double *vertices, int64_t n, const int32_t *faces, int64_t m,
                 int closed, float *inverse, int64_t w, int64_t h, float *scratch) {
  for (int64_t i = 0; i < n; i++) {
    double p[3], u = 0, v = 0;
    float *s = scratch + 3 * i;
    place(pose, vertices + 3 * i, p);
    s[2] = project(k, p, &u, &v) ? (float)(1 / p[2]) : 0;
    s[0] = (float)u;
    s[1] = (float)v;
  }
  float last_column = (float)(w - 1), last_row = (float)(h - 1);
  for (int64_t f = 0; f < m; f++) {
    const float *a = scratch + 3 * faces[3 * f], *b = scratch + 3 * faces[3 * f + 1], *c = scratch + 3 * faces[3 * f + 2];
    if (a[2] == 0 || b[2] == 0 || c[2] == 0) continue;
    float area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
    if (closed ? area > -1e-9f : fabsf(area) < 1e-9f) continue; /* rows run downwards */
    const float *up = a, *mid = b, *low = c, *swap;
    if (mid[1] < up[1]) { swap = up; up = mid; mid = swap; }
    if (low[1] < mid[1]) { swap = mid; mid = low; low = swap; }
    if (mid[1] < up[1]) { swap = up; up = mid; mid = swap; }
    float top = ceilf(up[1] > 0 ? up[1] : 0), bottom = floorf(low[1] < last_row ? low[1] : last_row);
    if (!(top <= bottom)) continue;
    float left = fminf(a[0], fminf(b[0], c[0])), right = fmaxf(a[0], fmaxf(b[0], c[0]));
    if (right < 0 || left > last_column) continue;
    /* 1 / depth is linear in the image. */
    float dx = ((b[2] - a[2]) * (c[1] - a[1]) - (c[2] - a[2]) * (b[1] - a[1])) / area;
    float dy = ((c[2] - a[2]) * (b[0] - a[0]) - (b[2] - a[2]) * (c[0] - a[0])) / area;
    float whole = low[1] > up[1] ? (low[0] - up[0]) / (low[1] - up[1]) : 0;
    float upper = mid[1] > up[1] ? (mid[0] - up[0]) / (mid[1] - up[1]) : 0;
    float lower = low[1] > mid[1] ? (low[0] - mid[0]) / (low[1] - mid[1]) : 0;
    for (float y = top; y <= bottom; y++) {
      float one = up[0] + (y - up[1]) * whole;
      float other = y < mid[1] ? up[0] + (y - up[1]) * upper : mid[0] + (y - mid[1]) * lower;
      float from = fmaxf(fminf(one, other), 0), to = fminf(fmaxf(one, other), last_column);
      int64_t first = (int64_t)ceilf(from), last = (int64_t)floorf(to);
      float *row = inverse + (int64_t)y * w, value = a[2] + dx * ((float)first - a[0]) + dy * (y - a[1]);
      for (int64_t x = first; x <= last; x++, value += dx) row[x] = value > row[x] ? value : row[x];
    }
  }
}

/* Evenly spaced samples on the edges that face the camera, without those behind most of the surface around them.

ends, normals: (e, 2, 3); anchors: (e, 3), a point of the edge's faces; sharp, used: (e,). `inverse` is a picture of the
depth, sx, sy times as large as the image. ruler: e numbers of scratch; which: e of them. Writes up to `count` points,
pixels, normals across the edge in the image, and which edge each is on; returns how many. */
int64_t edges_visible(const double *pose, const pinhole *k, const double *ends, const double *normals, const double *anchors,
                      const uint8_t *sharp, const uint8_t *used, int64_t e, int64_t count, const float *inverse, int64_t w,
                      int64_t h, double sx, double sy, double slack_m, double slack_px, int64_t most_hiding,
                      double *ruler, int64_t *which, double *points, double *pixels, double *across,
                      int64_t *edge) {
  double eye[3];
  for (int j = 0; j < 3; j++) eye[j] = -(pose[j] * pose[3] + pose[4 + j] * pose[7] + pose[8 + j] * pose[11]);
  int64_t seen = 0;
  double total = 0;
  for (int64_t i = 0; i < e; i++) {
    if (!used[i]) continue;
    int facing[2];
    for (int s = 0; s < 2; s++) {
      const double *n = normals + 6 * i + 3 * s, *a = anchors + 3 * i;
      facing[s] = n[0] * (eye[0] - a[0]) + n[1] * (eye[1] - a[1]) + n[2] * (eye[2] - a[2]) > 0;
    }
    if (!(facing[0] != facing[1] || (sharp[i] && facing[0]))) continue;
    double p[3], q[3], u0, v0, u1, v1;
    place(pose, ends + 6 * i, p);
    place(pose, ends + 6 * i + 3, q);
    if (!project(k, p, &u0, &v0) || !project(k, q, &u1, &v1)) continue;
    double length = hypot(u1 - u0, v1 - v0);
    if (!(length > 1e-6)) continue;
    total += length;
    ruler[seen] = total;
    which[seen++] = i;
  }
  /* One ruler over all edges one after another: short edges of a finely meshed curve get their share. */
  int64_t made = 0, at = 0;
  for (int64_t mark = 0; mark < count && seen; mark++) {
    double place_on = ((double)mark + 0.5) * total / (double)count;
    while (at < seen - 1 && ruler[at] < place_on) at++;
    const double *first = ends + 6 * which[at], *second = first + 3;
    double p[3], q[3], u0 = 0, v0 = 0, u1 = 0, v1 = 0, x[3];
    place(pose, first, p);
    place(pose, second, q);
    project(k, p, &u0, &v0);
    project(k, q, &u1, &v1);
    double length = hypot(u1 - u0, v1 - v0), share = 1 - (ruler[at] - place_on) / length;
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    double in_space = share * p[2] / ((1 - share) * q[2] + share * p[2]);
    double u = u0 + share * (u1 - u0), v = v0 + share * (v1 - v0);
    double z = p[2] + in_space * (q[2] - p[2]);
    double column = rint(u * sx + (sx - 1) / 2), row = rint(v * sy + (sy - 1) / 2);
    if (column < 0 || row < 0 || column > w - 1 || row > h - 1) continue;
    double limit = z - (slack_m + slack_px * z / (k->fx * sx));
    int64_t hiding = 0;
    for (int64_t i = -1; i <= 1; i++)
      for (int64_t j = -1; j <= 1; j++) {
        int64_t r = (int64_t)row + i, c = (int64_t)column + j;
        r = r < 0 ? 0 : r > h - 1 ? h - 1 : r;
        c = c < 0 ? 0 : c > w - 1 ? w - 1 : c;
        hiding += (double)inverse[r * w + c] * limit > 1;
      }
    if (hiding > most_hiding) continue;
    for (int j = 0; j < 3; j++) x[j] = first[j] + in_space * (second[j] - first[j]);
    memcpy(points + 3 * made, x, sizeof x);
    pixels[2 * made] = u;
    pixels[2 * made + 1] = v;
    across[2 * made] = -(v1 - v0) / length;
    across[2 * made + 1] = (u1 - u0) / length;
    edge[made] = which[at];
    made++;
  }
  return made;
}

typedef struct {
  const float *x, *y; /* gradients, (h, w) */
  int64_t w, h;
  double scale, threshold, least_across;
} gradients;

/* The gradient between pixels; beyond the border it is 0. */
static void between(const gradients *g, double x, double y, float *gx, float *gy) {
  double fx = floor(x), fy = floor(y);
  float a = (float)(x - fx), b = (float)(y - fy), weight[4] = {(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b};
  int64_t c = (int64_t)fx, r = (int64_t)fy, at = r * g->w + c, next[4] = {at, at + 1, at + g->w, at + g->w + 1};
  if (!(c >= 0 && r >= 0 && c < g->w - 1 && r < g->h - 1))
    for (int i = 0; i < 4; i++) {
      int64_t cc = c + i % 2, rr = r + i / 2;
      if (rr >= 0 && rr < g->h && cc >= 0 && cc < g->w) continue;
      next[i] = 0;
      weight[i] = 0;
    }
  *gx = *gy = 0;
  for (int i = 0; i < 4; i++) {
    *gx += weight[i] * g->x[next[i]];
    *gy += weight[i] * g->y[next[i]];
  }
}

/* The strongest edges across each expected one: offsets (n, 4) along the normal, image pixels, NaN where there is none. */
void edges_lines(const gradients *g, const double *pixels, const double *across, int64_t n, int64_t steps, double *offsets) {
  float response[2 * MOST_STEPS + 1], size[2 * MOST_STEPS + 1];
  if (steps > MOST_STEPS) steps = MOST_STEPS;
  for (int64_t i = 0; i < n; i++) {
    double nx = across[2 * i], ny = across[2 * i + 1];
    double u = pixels[2 * i] * g->scale + (g->scale - 1) / 2, v = pixels[2 * i + 1] * g->scale + (g->scale - 1) / 2;
    double *out = offsets + CANDIDATES * i;
    float strongest[CANDIDATES] = {0};
    for (int c = 0; c < CANDIDATES; c++) out[c] = NAN;
    if (!(fabs(u) < 1e6 && fabs(v) < 1e6)) continue;
    for (int64_t s = -steps; s <= steps; s++) {
      double x = u + (double)s * nx, y = v + (double)s * ny;
      float gx, gy;
      between(g, x, y, &gx, &gy);
      response[s + steps] = fabsf(gx * (float)nx + gy * (float)ny);
      size[s + steps] = sqrtf(gx * gx + gy * gy);
    }
    for (int64_t s = 1; s < 2 * steps; s++) {
      float mid = response[s], left = response[s - 1], right = response[s + 1];
      if (!(mid > left && mid >= right && mid > g->threshold && mid > g->least_across * size[s])) continue;
      int slot = CANDIDATES;
      while (slot > 0 && mid > strongest[slot - 1]) slot--;
      if (slot == CANDIDATES) continue;
      for (int c = CANDIDATES - 1; c > slot; c--) {
        strongest[c] = strongest[c - 1];
        out[c] = out[c - 1];
      }
      float bend = left - 2 * mid + right, shift = bend < -1e-6f ? 0.5f * (left - right) / bend : 0;
      shift = shift < -0.5f ? -0.5f : shift > 0.5f ? 0.5f : shift;
      strongest[slot] = mid;
      out[slot] = ((double)(s - steps) + shift) / g->scale;
    }
  }
}

/* Signed distance from where the pose puts a sample to the nearest candidate; NaN where there is none. */
static double residual_of(const double *pose, const pinhole *k, const double *point, const double *pixel, const double *n,
                          const double *candidates, double *p) {
  double u, v, best = NAN;
  place(pose, point, p);
  if (!project(k, p, &u, &v)) return NAN;
  double moved = (u - pixel[0]) * n[0] + (v - pixel[1]) * n[1];
  for (int c = 0; c < CANDIDATES; c++) {
    double distance = candidates[c] - moved;
    if (!isnan(distance) && !(fabs(distance) >= fabs(best))) best = distance;
  }
  return best;
}

/* Adds the weighted normal equations of the samples at a pose to hessian (6, 6) and step (6,). */
void edges_normal_equations(const double *pose, const pinhole *k, const double *points, const double *pixels,
                            const double *across, const double *offsets, int64_t n, double width, double *hessian,
                            double *step) {
  for (int64_t i = 0; i < n; i++) {
    const double *x = points + 3 * i, *normal = across + 2 * i;
    double p[3], r = residual_of(pose, k, x, pixels + 2 * i, normal, offsets + CANDIDATES * i, p), weight = tukey(r, width);
    if (!(weight > 0)) continue;
    double j[6];
    row_of(pose, k, x, normal, p, j);
    for (int a = 0; a < 6; a++) {
      for (int b = 0; b <= a; b++) hessian[6 * a + b] += weight * j[a] * j[b];
      step[a] += weight * r * j[a];
    }
  }
}

/* Gauss-Newton steps on `pose`, one for each width. */
void edges_refine(double *pose, const pinhole *k, const double *points, const double *pixels, const double *across,
                  const double *offsets, int64_t n, const double *widths, int64_t steps, const double *information) {
  for (int64_t s = 0; s < steps; s++) {
    double hessian[36], step[6] = {0};
    memcpy(hessian, information, sizeof hessian);
    edges_normal_equations(pose, k, points, pixels, across, offsets, n, widths[s], hessian, step);
    if (!factor(hessian, 6)) return;
    substitute(hessian, step, 6);
    perturb(pose, step);
  }
}

static double hypothesis(double *pose, const pinhole *k, const double *points, const double *across, int64_t n,
                         const gradients *g, const int64_t *reach, const double *widths, int64_t rounds, int64_t each,
                         const double *information, double score_width, double *pixels, double *offsets) {
  for (int64_t round = 0; round < rounds; round++) {
    for (int64_t i = 0; i < n; i++) {
      double p[3];
      place(pose, points + 3 * i, p);
      if (!project(k, p, pixels + 2 * i, pixels + 2 * i + 1)) pixels[2 * i] = pixels[2 * i + 1] = -1e7;
    }
    edges_lines(g, pixels, across, n, reach[round], offsets);
    edges_refine(pose, k, points, pixels, across, offsets, n, widths + each * round, each, information);
  }
  double score = 0, p[3];
  for (int64_t i = 0; i < n; i++)
    score += tukey(residual_of(pose, k, points + 3 * i, pixels + 2 * i, across + 2 * i, offsets + CANDIDATES * i, p), score_width);
  return n ? score / (double)n : 0;
}

/* Refines `count` hypotheses in rounds, each with lines of its own `reach` (steps of the scale) and `widths` (rounds, each);
scores: the mean weight of the samples at `score_width`. pixels: 2 n, offsets: 4 n numbers of scratch. */
void edges_hypotheses(double *poses, double *scores, int64_t count, const pinhole *k, const double *points,
                      const double *across, int64_t n, const gradients *g, const int64_t *reach, const double *widths,
                      int64_t rounds, int64_t each, const double *information, double score_width, double *pixels,
                      double *offsets) {
  for (int64_t i = 0; i < count; i++)
    scores[i] = hypothesis(poses + 12 * i, k, points, across, n, g, reach, widths, rounds, each, information, score_width,
                           pixels, offsets);
}

/* Bytes, 0 to 255, of how strongly the gradient (w, h) points along each direction, in maps (directions, rows, columns)
with a border; `strength` 1 is a gradient of g->threshold, and less than half of it is nothing. Maps must hold zeros. */
void edges_directions(const gradients *g, int64_t directions, int64_t border, uint8_t *maps) {
  int64_t columns = g->w + 2 * border, rows = g->h + 2 * border;
  for (int64_t y = 0; y < g->h; y++)
    for (int64_t x = 0; x < g->w; x++) {
      float gx = g->x[y * g->w + x], gy = g->y[y * g->w + x];
      float strength = sqrtf(gx * gx + gy * gy) / (float)g->threshold;
      if (strength < 0.5f) continue;
      strength = strength < 1 ? strength : 1;
      float angle = atan2f(gy, gx) / (float)M_PI * (float)directions;
      angle = angle < 0 ? angle + (float)directions : angle;
      int64_t nearest = (int64_t)rintf(angle);
      for (int64_t k = nearest - 1; k <= nearest + 1; k++) {
        float share = 1.5f - fabsf(angle - (float)k);
        int64_t map = (k + directions) % directions;
        maps[(map * rows + y + border) * columns + x + border] = (uint8_t)(255 * strength * (share < 1 ? share : 1));
      }
    }
}

/* Of steep places along rows and columns, steeper than `least`: how steep it still is two pixels beside it, as a fraction
(most at most, of every fourth row); returns how many. */
int64_t edges_widths(const gradients *g, double least, int64_t most, float *fractions) {
  int64_t found = 0, w = g->w;
  for (int64_t y = 2; y < g->h - 2; y += 4)
    for (int64_t x = 2; x < w - 2; x++) {
      const float *gx = g->x + y * w + x, *gy = g->y + y * w + x;
      int down = fabsf(*gy) > fabsf(*gx);
      int64_t step = down ? w : 1;
      const float *own = down ? gy : gx;
      float mid = fabsf(*own);
      if (!(mid > least && mid > 2 * fabsf(down ? *gx : *gy))) continue;
      if (!(mid >= fabsf(own[-step]) && mid > fabsf(own[step]))) continue;
      if (found == most) return found;
      fractions[found++] = (fabsf(own[-2 * step]) + fabsf(own[2 * step])) / (2 * mid);
    }
  return found;
}

enum { BLOCK = 32 };
typedef uint8_t block __attribute__((vector_size(BLOCK)));
typedef uint16_t sums __attribute__((vector_size(2 * BLOCK)));

/* Lays an outline over maps of edge directions, turned and at several distances, and finds the best shift of each.

outline: (n, 3) about the part's centre, optical frame; across: (n, 2) its normals in the image; n at most 257. turns:
(t, 3, 3) in the optical frame; distances: (d,) of the centre along its line of sight, times `middle`. maps: bytes
(directions, h, w) with a border of reach + 1 pixels around the picture of pinhole k, and BLOCK more bytes behind the
last. best: (t, d) mean score, 0 to 1; shift: (t, d, 2) columns, rows. at: n numbers of scratch. */
void edges_coarse(const pinhole *k, const double *outline, const double *across, int64_t n, const double *middle,
                  const double *turns, int64_t t, const double *distances, int64_t d, const uint8_t *maps,
                  int64_t directions, int64_t w, int64_t h, int64_t reach, float *best, int32_t *shift, int64_t *at) {
  int64_t side = 2 * reach + 1, border = reach + 1;
  double last_column = (double)(w - 2 * border - 1), last_row = (double)(h - 2 * border - 1);
  for (int64_t turn = 0; turn < t; turn++) {
    const double *r = turns + 9 * turn;
    for (int64_t far = 0; far < d; far++) {
      int64_t used = 0;
      for (int64_t i = 0; i < n; i++) {
        const double *x = outline + 3 * i, *normal = across + 2 * i;
        double p[3], u, v;
        for (int j = 0; j < 3; j++) p[j] = r[3 * j] * x[0] + r[3 * j + 1] * x[1] + r[3 * j + 2] * x[2] + distances[far] * middle[j];
        if (!project(k, p, &u, &v)) continue;
        /* Small turns out of the image plane hardly turn an edge in the image. */
        float angle = atan2f((float)(r[3] * normal[0] + r[4] * normal[1]), (float)(r[0] * normal[0] + r[1] * normal[1]));
        int64_t direction = (int64_t)rintf(angle / (float)M_PI * (float)directions);
        direction = ((direction % directions) + directions) % directions;
        u = rint(u);
        v = rint(v);
        int64_t column = (int64_t)(u < 0 ? 0 : u > last_column ? last_column : u);
        int64_t row = (int64_t)(v < 0 ? 0 : v > last_row ? last_row : v);
        at[used++] = (direction * h + row + border - reach) * w + column + border - reach;
      }
      int64_t top = -1, top_row = 0, top_column = 0;
      for (int64_t a = 0; a < side; a++)
        for (int64_t b = 0; b < side; b += BLOCK) {
          const uint8_t *first = maps + a * w + b;
          sums sum = {0};
          for (int64_t i = 0; i < used; i++) {
            block values;
            memcpy(&values, first + at[i], sizeof values);
            sum += __builtin_convertvector(values, sums);
          }
          for (int c = 0; c < BLOCK && b + c < side; c++)
            if (sum[c] > top) {
              top = sum[c];
              top_row = a;
              top_column = b + c;
            }
        }
      best[turn * d + far] = (float)top / (255 * (float)n);
      shift[2 * (turn * d + far)] = (int32_t)(top_column - reach);
      shift[2 * (turn * d + far) + 1] = (int32_t)(top_row - reach);
    }
  }
}
