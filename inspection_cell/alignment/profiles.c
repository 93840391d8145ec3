/* The grey levels across an expected edge, explained by the steps that the CAD's edges on that line make in the picture.

A chamfer is two edges a pixel or two apart, whose blurred steps merge: the steepest place is at neither. So each line
is fitted as a + b d + sum_j c_j Phi((d - d_j) / sigma) with free levels and the CAD's own distances d_j, and what is left
tells how far all of it must move: separable least squares, L. Kaufman, "A variable projection method for solving
separable nonlinear least squares problems", BIT 15 (1975). Where the levels can explain a shift as well, as when two edges
are closer than the blur, the line says little by itself, and its weight is small.

Pixels are those of the picture of pinhole k. profiles.py calls these functions. */

#include "edges.h"

enum { MOST_EDGES = 5, MOST_REACH = 12, COLUMNS = MOST_EDGES + 2, FEWEST = 6, TABLE = 512 };
static const double TABLE_REACH = 4, RIDGE = 1e-3, ALONG_PX = 3, LEAST_ACROSS = 0.7, FREEDOM_TAKEN = 4;

int profiles_version(void) { return 2; }

/* Where the CAD's other edges cross the lines through some samples: offsets (m, MOST_EDGES) along the normals, nearest
first, NaN where there are no more; edges closer together than `merged` are one, in the middle.

pixels, across: (n, 2) of all samples; chosen: (m,) of them. heads: one for each cell of `cell` pixels of a picture of
columns x rows cells, next: (n,), both scratch. */
void profiles_neighbours(const double *pixels, const double *across, int64_t n, const int64_t *chosen, int64_t m,
                         double reach, double merged, double cell, int64_t columns, int64_t rows, int64_t *heads,
                         int64_t *next, double *offsets) {
  enum { MOST_FOUND = 48 };
  for (int64_t c = 0; c < columns * rows; c++) heads[c] = -1;
  for (int64_t i = 0; i < n; i++) {
    double x = floor(pixels[2 * i] / cell), y = floor(pixels[2 * i + 1] / cell);
    next[i] = -2; /* not in the picture */
    if (!(x >= 0 && y >= 0 && x < columns && y < rows)) continue;
    int64_t *head = heads + (int64_t)y * columns + (int64_t)x;
    next[i] = *head;
    *head = i;
  }
  for (int64_t l = 0; l < m; l++) {
    int64_t i = chosen[l], found = 0;
    double *out = offsets + MOST_EDGES * l, places[MOST_FOUND + 1];
    for (int j = 0; j < MOST_EDGES; j++) out[j] = NAN;
    if (next[i] == -2) continue;
    const double *p = pixels + 2 * i, *normal = across + 2 * i;
    int64_t column = (int64_t)floor(p[0] / cell), row = (int64_t)floor(p[1] / cell);
    places[found++] = 0;
    for (int64_t r = row > 0 ? row - 1 : 0; r <= row + 1 && r < rows; r++)
      for (int64_t c = column > 0 ? column - 1 : 0; c <= column + 1 && c < columns; c++)
        for (int64_t j = heads[r * columns + c]; j >= 0; j = next[j]) {
          const double *q = pixels + 2 * j, *other = across + 2 * j;
          double dx = q[0] - p[0], dy = q[1] - p[1], turned = other[0] * normal[0] + other[1] * normal[1];
          if (j == i || fabs(turned) < LEAST_ACROSS || fabs(dx * normal[1] - dy * normal[0]) > ALONG_PX) continue;
          double place = (other[0] * dx + other[1] * dy) / turned; /* along its edge to this line */
          if (fabs(place) > reach || found > MOST_FOUND) continue;
          int64_t k = found++;
          for (; k > 0 && places[k - 1] > place; k--) places[k] = places[k - 1];
          places[k] = place;
        }
    int64_t kept = 0;
    for (int64_t first = 0, last; first < found; first = last + 1) {
      double sum = places[first];
      for (last = first; last + 1 < found && places[last + 1] - places[last] < merged; last++) sum += places[last + 1];
      double middle = sum / (double)(last - first + 1);
      int64_t k = kept < MOST_EDGES ? kept++ : MOST_EDGES;
      for (; k > 0 && fabs(out[k - 1]) > fabs(middle); k--)
        if (k < MOST_EDGES) out[k] = out[k - 1];
      if (k < MOST_EDGES) out[k] = middle;
    }
  }
}

typedef struct {
  const float *values; /* (h, w) grey levels, infinite where the sensor was saturated */
  int64_t w, h;
  double sigma, noise; /* of the picture's steps, pixels; of its values, at least */
} picture;

typedef struct { float step[TABLE + 2], slope[TABLE + 2]; } tables;

/* Phi and its derivative, from -TABLE_REACH to TABLE_REACH. */
static void tabulate(tables *t) {
  for (int i = 0; i < TABLE + 2; i++) {
    double x = TABLE_REACH * (2.0 * i / TABLE - 1);
    t->step[i] = (float)(0.5 * erfc(-x * M_SQRT1_2));
    t->slope[i] = (float)(exp(-0.5 * x * x) * M_SQRT1_2 * M_2_SQRTPI / 2);
  }
}

static double between(const picture *g, double x, double y) {
  double right = (double)(g->w - 1), bottom = (double)(g->h - 1); /* beyond the border it goes on as there */
  x = x < 0 ? 0 : x > right ? right : x;
  y = y < 0 ? 0 : y > bottom ? bottom : y;
  int64_t c = (int64_t)x, r = (int64_t)y, c1 = c < g->w - 1 ? c + 1 : c, r1 = r < g->h - 1 ? r + 1 : r;
  double a = x - (double)c, b = y - (double)r;
  const float *top = g->values + r * g->w, *low = g->values + r1 * g->w;
  return (1 - b) * ((1 - a) * top[c] + a * top[c1]) + b * ((1 - a) * low[c] + a * low[c1]);
}

/* One line: how far the edges must move, pixels, with its variance; 0 where it cannot tell. */
static int shift_of(const picture *g, const tables *t, double u, double v, const double *normal, const double *offsets,
                    int64_t reach, double *shift, double *variance) {
  int k = 2;
  double a[COLUMNS][2 * MOST_REACH + 1], slope[MOST_EDGES][2 * MOST_REACH + 1], grey[2 * MOST_REACH + 1], mean = 0;
  double far[2 * MOST_REACH + 1];
  int64_t n = 0;
  for (int64_t i = -reach; i <= reach; i++) {
    double d = (double)i;
    grey[n] = between(g, u + d * normal[0], v + d * normal[1]);
    if (!(grey[n] < 1e6)) continue; /* a clipped level says nothing of where its edge is */
    mean += grey[n];
    a[0][n] = 1;
    a[1][n] = d / (double)reach;
    far[n++] = d;
  }
  if (n < FEWEST) return 0;
  mean /= (double)n;
  for (int j = 0; j < MOST_EDGES && !isnan(offsets[j]); j++, k++)
    for (int64_t i = 0; i < n; i++) {
      double x = (far[i] - offsets[j]) / g->sigma;
      x = (x < -TABLE_REACH ? -TABLE_REACH : x > TABLE_REACH ? TABLE_REACH : x) + TABLE_REACH;
      double place = x * (TABLE / (2 * TABLE_REACH));
      int at = (int)place;
      float part = (float)(place - at);
      a[k][i] = t->step[at] + part * (t->step[at + 1] - t->step[at]);
      slope[k - 2][i] = -(t->slope[at] + part * (t->slope[at + 1] - t->slope[at])) / g->sigma;
    }
  double normal_matrix[COLUMNS * COLUMNS], levels[COLUMNS], moved[2 * MOST_REACH + 1], rest[COLUMNS];
  for (int i = 0; i < k; i++) {
    for (int j = 0; j <= i; j++) {
      double sum = i == j ? RIDGE : 0;
      for (int64_t s = 0; s < n; s++) sum += a[i][s] * a[j][s];
      normal_matrix[k * i + j] = sum;
    }
    levels[i] = 0;
    for (int64_t s = 0; s < n; s++) levels[i] += a[i][s] * (grey[s] - mean);
  }
  if (!factor(normal_matrix, k)) return 0;
  substitute(normal_matrix, levels, k);
  for (int64_t s = 0; s < n; s++) {
    grey[s] -= mean;
    moved[s] = 0;
    for (int i = 0; i < k; i++) grey[s] -= levels[i] * a[i][s];
    for (int i = 2; i < k; i++) moved[s] += levels[i] * slope[i - 2][s];
  }
  for (int i = 0; i < k; i++) {
    rest[i] = 0;
    for (int64_t s = 0; s < n; s++) rest[i] += a[i][s] * moved[s];
  }
  substitute(normal_matrix, rest, k);
  double size = 0, along = 0, squares = 0;
  for (int64_t s = 0; s < n; s++) {
    for (int i = 0; i < k; i++) moved[s] -= rest[i] * a[i][s];
    size += moved[s] * moved[s];
    along += moved[s] * grey[s];
    squares += grey[s] * grey[s];
  }
  if (!(size > 1e-9)) return 0;
  double free = fmax((double)n - FREEDOM_TAKEN, 1);
  *shift = along / size;
  *variance = fmax(squares / free, g->noise * g->noise) / size;
  return 1;
}

/* Adds the normal equations of all lines at a pose to hessian (6, 6) and step (6,).

points: (m, 3), across: (m, 2), offsets: (m, MOST_EDGES). floor: standard deviation that no line is better than, pixels;
width: of Tukey's weight, pixels. Writes each line's shift (NaN: it cannot tell), weight and row (m, 6) of the Jacobian,
pixels per twist. */
void profiles_step(const double *pose, const pinhole *k, const double *points, const double *across,
                     const double *offsets, int64_t m, const picture *g, int64_t reach, double floor, double width,
                     double *hessian, double *step, double *shifts, double *weights, double *rows) {
  tables t;
  tabulate(&t);
  for (int64_t i = 0; i < m; i++) {
    const double *x = points + 3 * i, *normal = across + 2 * i;
    double p[3], u, v, shift, variance, *j = rows + 6 * i;
    shifts[i] = NAN;
    weights[i] = 0;
    memset(j, 0, 6 * sizeof *j);
    place(pose, x, p);
    if (isnan(offsets[MOST_EDGES * i]) || !project(k, p, &u, &v)) continue;
    if (!shift_of(g, &t, u, v, normal, offsets + MOST_EDGES * i, reach, &shift, &variance)) continue;
    row_of(pose, k, x, normal, p, j);
    shifts[i] = shift;
    weights[i] = tukey(shift, width) * floor * floor / (floor * floor + variance);
    for (int a = 0; a < 6; a++) {
      for (int b = 0; b <= a; b++) hessian[6 * a + b] += weights[i] * j[a] * j[b];
      step[a] += weights[i] * shift * j[a];
    }
  }
}

/* Gauss-Newton: `steps` of them from `pose`; the last one's shifts, weights and rows stay as they were before it. */
void profiles_refine(double *pose, const pinhole *k, const double *points, const double *across, const double *offsets,
                       int64_t m, const picture *g, int64_t reach, double floor, double width, int64_t steps,
                       const double *information, double *shifts, double *weights, double *rows) {
  for (int64_t s = 0; s < steps; s++) {
    double hessian[36], step[6] = {0};
    memcpy(hessian, information, sizeof hessian);
    profiles_step(pose, k, points, across, offsets, m, g, reach, floor, width, hessian, step, shifts, weights, rows);
    if (!factor(hessian, 6)) return;
    substitute(hessian, step, 6);
    perturb(pose, step);
  }
}
