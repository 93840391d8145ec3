/* The grey levels across an expected edge, explained by the steps that the CAD's edges on that line make in the picture.

A chamfer is two edges a pixel or two apart, whose blurred steps merge: the steepest place is at neither. So each line
is fitted as a + b d + r ramp(d) + sum_j c_j Phi((d - d_j) / sigma) with free levels and the CAD's own distances d_j, and
what is left tells how far all of it must move: separable least squares, L. Kaufman, "A variable projection method for
solving separable nonlinear least squares problems", BIT 15 (1975). The ramp bends at the line's own edge, because light
falls off differently on the two sides of most edges. Where the levels can explain a shift as well, as when two edges are
closer than the blur, the line says little by itself, and its weight is small. sigma, how wide the picture's steps are, is
the same for all lines and estimated with the pose.

Lines are fitted LANES at a time, each in its own lane of vectors. Pixels are those of the picture of pinhole k.
profiles.py calls these functions. */

#include "edges.h"

enum { LANES = 8, MOST_EDGES = 7, MOST_REACH = 8, SAMPLES = 2 * MOST_REACH + 1, OWN = 3, COLUMNS = OWN + MOST_EDGES };
static const double FEWEST = 6, FARTHEST = 4, RIDGE = 1e-3, ALONG_PX = 3, LEAST_ACROSS = 0.7, FREEDOM_TAKEN = 4;
/* Of how much wider the steps are, pixels: Tukey's width, what no line is thought to know better, how much one step is held
back where lines say little; and the least sigma. */
static const double WIDENED = 0.5, WIDTH_FLOOR = 0.05, WIDTH_KNOWN = 0.1, LEAST_WIDTH = 0.5;

typedef double lanes __attribute__((vector_size(8 * LANES)));
typedef int64_t choice __attribute__((vector_size(8 * LANES)));

int profiles_version(void) { return 3; }

/* Where the CAD's other edges cross the lines through some samples: offsets (m, MOST_EDGES) along the normals, nearest
first, NaN where there are no more; edges closer together than `merged` are one, in the middle.

pixels, across: (n, 2) of all samples; chosen: (m,) of them. heads: one for each cell of `cell` pixels of a picture of
columns x rows cells, next: (n,), both scratch. */
void profiles_neighbours(const double *pixels, const double *across, int64_t n, const int64_t *chosen, int64_t m,
                         double reach, double merged, double cell, int64_t columns, int64_t rows, int64_t *heads,
                         int64_t *next, double *offsets) {
  enum { MOST_FOUND = 64 };
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

/* What LANES lines see. Sample i lies i - reach pixels along the normal. */
typedef struct {
  lanes grey[SAMPLES], seen[SAMPLES];            /* seen: 1, or 0 for a clipped level, which tells nothing of its edge */
  lanes offsets[MOST_EDGES], present[MOST_EDGES]; /* present: 1 or 0 */
} batch;

/* A number for each line with the variance that it is known to; not for lines that cannot tell, whose `known` is 0. */
typedef struct { lanes value, variance; choice known; } told;

static inline lanes either(choice where, lanes a, lanes b) { return (lanes)(((choice)a & where) | ((choice)b & ~where)); }

static inline lanes all(double x) { return x - (lanes){0}; }

static inline lanes at_least(lanes x, double least) { return either(x < least, all(least), x); }

/* exp(-y) for 0 <= y <= 8, to 1e-7. */
static inline lanes decay(lanes y) {
  lanes z = y * (-1.0 / 256), e = 1 + z * (1 + z * (0.5 + z * (1.0 / 6 + z / 24)));
  for (int i = 0; i < 8; i++) e *= e;
  return e;
}

/* Phi and its derivative, to 1e-7: M. Abramowitz and I. Stegun, Handbook of Mathematical Functions, 7.1.26. */
static inline lanes step_at(lanes x, lanes *slope) {
  lanes size = either(x < 0, -x, x);
  size = either(size > FARTHEST, all(FARTHEST), size);
  lanes t = 1 / (1 + 0.3275911 * M_SQRT1_2 * size), e = decay(0.5 * size * size);
  lanes rest = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  rest *= 0.5 * e;
  *slope = e * (M_SQRT1_2 * M_2_SQRTPI / 2);
  return either(x < 0, rest, 1 - rest);
}

/* A (k, k) <- L D L^T by its lower triangle, of positive definite matrices: L below the diagonal, 1 / D on it. */
static inline void factor_lanes(lanes a[COLUMNS][COLUMNS], int k) {
  for (int i = 0; i < k; i++) {
    for (int j = 0; j < i; j++)
      for (int l = 0; l < j; l++) a[i][j] -= a[i][l] * a[j][l];
    for (int j = 0; j < i; j++) { /* so far the row is L D */
      lanes scaled = a[i][j] * a[j][j];
      a[i][i] -= a[i][j] * scaled;
      a[i][j] = scaled;
    }
    a[i][i] = 1 / a[i][i];
  }
}

static inline void substitute_lanes(lanes a[COLUMNS][COLUMNS], lanes *b, int k) {
  for (int i = 0; i < k; i++)
    for (int l = 0; l < i; l++) b[i] -= a[i][l] * b[l];
  for (int i = k - 1; i >= 0; i--) {
    b[i] *= a[i][i];
    for (int l = i + 1; l < k; l++) b[i] -= a[l][i] * b[l];
  }
}

/* Takes from values (n,) what the columns (k, n) explain by levels (k,). `factors`: of the columns' products. */
static inline void without(lanes columns[COLUMNS][SAMPLES], lanes factors[COLUMNS][COLUMNS], int k, int n, lanes *values,
                           lanes *levels) {
  for (int i = 0; i < k; i++) {
    levels[i] = all(0);
    for (int s = 0; s < n; s++) levels[i] += columns[i][s] * values[s];
  }
  substitute_lanes(factors, levels, k);
  for (int i = 0; i < k; i++)
    for (int s = 0; s < n; s++) values[s] -= levels[i] * columns[i][s];
}

static inline lanes product(const lanes *a, const lanes *b, int n) {
  lanes sum = all(0);
  for (int s = 0; s < n; s++) sum += a[s] * b[s];
  return sum;
}

/* How far each line's edges must move and how much wider its steps must be, pixels. `edges`: the most on one line. */
static void fit_lines(const batch *b, int reach, int edges, double sigma, double noise, told *shift, told *widening) {
  int n = 2 * reach + 1, k = OWN + edges;
  lanes a[COLUMNS][SAMPLES], moved[SAMPLES], wider[SAMPLES], grey[SAMPLES], slope[MOST_EDGES][SAMPLES];
  lanes bends = 1 - b->present[2]; /* more edges and a ramp could explain anything */
  for (int s = 0; s < n; s++) {
    grey[s] = b->grey[s];
    a[0][s] = b->seen[s];
    a[1][s] = b->seen[s] * ((double)(s - reach) / reach);
    for (int j = 0; j < edges; j++) {
      lanes x = ((double)(s - reach) - b->offsets[j]) / sigma, step = step_at(x, &slope[j][s]);
      if (j == 0) a[2][s] = b->seen[s] * bends * (x * step + slope[j][s]) * (sigma / reach);
      a[OWN + j][s] = step * b->seen[s] * b->present[j];
      slope[j][s] *= b->seen[s] * b->present[j] * (-1 / sigma);
    }
  }
  lanes factors[COLUMNS][COLUMNS], levels[COLUMNS], rest[COLUMNS];
  for (int i = 0; i < k; i++) {
    for (int j = 0; j <= i; j++) factors[i][j] = product(a[i], a[j], n);
    factors[i][i] += RIDGE;
  }
  factor_lanes(factors, k);
  without(a, factors, k, n, grey, levels);
  for (int s = 0; s < n; s++) {
    moved[s] = wider[s] = all(0);
    for (int j = 0; j < edges; j++) {
      lanes change = levels[OWN + j] * slope[j][s];
      moved[s] += change;
      wider[s] += change * (((double)(s - reach) - b->offsets[j]) / sigma);
    }
  }
  without(a, factors, k, n, moved, rest);
  without(a, factors, k, n, wider, rest);
  lanes size = at_least(product(moved, moved, n), 1e-9), shared = product(moved, wider, n) / size;
  for (int s = 0; s < n; s++) wider[s] -= shared * moved[s];
  lanes width = at_least(product(wider, wider, n), 1e-9), used = product(b->seen, b->seen, n);
  lanes variance = at_least(product(grey, grey, n) / at_least(used - FREEDOM_TAKEN, 1), noise * noise);
  *shift = (told){product(moved, grey, n) / size, variance / size, (size > 1e-9) & (used >= FEWEST)};
  *widening = (told){product(wider, grey, n) / width, variance / width, shift->known & (width > 1e-9)};
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

/* Puts one line into a lane of the batch: the line through (u, v), whose edges lie at offsets (MOST_EDGES,). Returns how
many edges it has. */
static int look(const picture *g, double u, double v, const double *normal, const double *offsets, int reach, int lane,
                batch *b) {
  double sum = 0, used = 0;
  int edges = 0;
  for (int s = 0; s < 2 * reach + 1; s++) {
    double d = s - reach, grey = between(g, u + d * normal[0], v + d * normal[1]), seen = grey < 1e6;
    b->seen[s][lane] = seen;
    b->grey[s][lane] = grey = seen ? grey : 0;
    sum += grey;
    used += seen;
  }
  for (int s = 0; s < 2 * reach + 1; s++) b->grey[s][lane] -= b->seen[s][lane] * sum / fmax(used, 1);
  for (int j = 0; j < MOST_EDGES; j++) {
    int present = !isnan(offsets[j]);
    b->offsets[j][lane] = present ? offsets[j] : 0;
    b->present[j][lane] = present;
    edges += present;
  }
  return edges;
}

/* Adds the normal equations of all lines at a pose to hessian (6, 6) and step (6,); returns how much wider than g->sigma
the picture's steps are.

points: (m, 3), across: (m, 2), offsets: (m, MOST_EDGES). floor: standard deviation that no line is better than, pixels;
width: of Tukey's weight, pixels. Writes each line's shift (NaN: it cannot tell) with its variance, weight and row (m, 6) of
the Jacobian, pixels per twist. */
static double add_lines(const double *pose, const pinhole *k, const double *points, const double *across,
                        const double *offsets, int64_t m, const picture *g, int reach, double floor, double width,
                        double *hessian, double *step, double *shifts, double *variances, double *weights, double *rows) {
  double wider = 0, certainty = 0;
  for (int64_t first = 0; first < m; first += LANES) {
    int count = m - first < LANES ? (int)(m - first) : LANES, most = 1;
    batch b = {0};
    for (int lane = 0; lane < count; lane++) {
      int64_t i = first + lane;
      double p[3], u, v;
      memset(rows + 6 * i, 0, 6 * sizeof *rows);
      place(pose, points + 3 * i, p);
      if (isnan(offsets[MOST_EDGES * i]) || !project(k, p, &u, &v)) continue;
      row_of(pose, k, points + 3 * i, across + 2 * i, p, rows + 6 * i);
      int edges = look(g, u, v, across + 2 * i, offsets + MOST_EDGES * i, reach, lane, &b);
      most = edges > most ? edges : most;
    }
    told shift, widening;
    fit_lines(&b, reach, most, g->sigma, g->noise, &shift, &widening);
    for (int lane = 0; lane < count; lane++) {
      int64_t i = first + lane;
      shifts[i] = variances[i] = NAN;
      weights[i] = 0;
      if (!shift.known[lane]) continue;
      double by = shift.value[lane], *j = rows + 6 * i, near = tukey(by, width), w = floor * floor;
      shifts[i] = by;
      variances[i] = shift.variance[lane];
      weights[i] = w *= near / (floor * floor + shift.variance[lane]);
      for (int a = 0; a < 6; a++) {
        for (int c = 0; c <= a; c++) hessian[6 * a + c] += w * j[a] * j[c];
        step[a] += w * by * j[a];
      }
      if (!widening.known[lane]) continue;
      double change = widening.value[lane];
      w = near * tukey(change, WIDENED) / (WIDTH_FLOOR * WIDTH_FLOOR + widening.variance[lane]);
      wider += w * change;
      certainty += w;
    }
  }
  return wider / (certainty + 1 / (WIDTH_KNOWN * WIDTH_KNOWN));
}

/* Gauss-Newton: `steps` of them from `pose`, each also on g->sigma; what the last one's lines said stays, its
step taken off their shifts. */
void profiles_refine(double *pose, const pinhole *k, const double *points, const double *across, const double *offsets,
                     int64_t m, picture *g, int64_t reach, double floor, double width, int64_t steps,
                     const double *information, double *shifts, double *variances, double *weights, double *rows) {
  for (int64_t s = 0; s < steps; s++) {
    double hessian[36], step[6] = {0}, wider;
    memcpy(hessian, information, sizeof hessian);
    wider = add_lines(pose, k, points, across, offsets, m, g, (int)reach, floor, width, hessian, step, shifts,
                      variances, weights, rows);
    if (!factor(hessian, 6)) return;
    substitute(hessian, step, 6);
    perturb(pose, step);
    for (int64_t i = 0; i < m; i++)
      for (int a = 0; a < 6; a++) shifts[i] -= rows[6 * i + a] * step[a];
    g->sigma = fmax(g->sigma + wider, LEAST_WIDTH);
  }
}
