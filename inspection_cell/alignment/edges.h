/* What the loops of the alignment share: a pinhole, poses, and the steps that move them. */

#define _DEFAULT_SOURCE
#include <math.h>
#include <stdint.h>
#include <string.h>

static const double NEAREST = 1e-3; /* metres */

typedef struct { double fx, skew, cx, fy, cy; } pinhole;

static inline void place(const double *pose, const double *p, double *out) {
  for (int i = 0; i < 3; i++) out[i] = pose[4 * i] * p[0] + pose[4 * i + 1] * p[1] + pose[4 * i + 2] * p[2] + pose[4 * i + 3];
}

static inline int project(const pinhole *k, const double *p, double *u, double *v) {
  if (!(p[2] > NEAREST)) return 0;
  double x = p[0] / p[2], y = p[1] / p[2];
  *u = k->fx * x + k->skew * y + k->cx;
  *v = k->fy * y + k->cy;
  return 1;
}

static inline double tukey(double residual, double width) {
  double r = residual / width;
  if (!(fabs(r) < 1)) return 0;
  return (1 - r * r) * (1 - r * r);
}

/* Cholesky of the lower triangle of A, (n, n) and positive definite, in place; 0 where it is not. */
static inline int factor(double *a, int n) {
  for (int i = 0; i < n; i++)
    for (int j = 0; j <= i; j++) {
      double sum = a[n * i + j];
      for (int l = 0; l < j; l++) sum -= a[n * i + l] * a[n * j + l];
      if (i == j) {
        if (!(sum > 0)) return 0;
        a[n * i + i] = sqrt(sum);
      } else {
        a[n * i + j] = sum / a[n * j + j];
      }
    }
  return 1;
}

/* b <- A^-1 b, with A's factor. */
static inline void substitute(const double *a, double *b, int n) {
  for (int i = 0; i < n; i++) {
    for (int l = 0; l < i; l++) b[i] -= a[n * i + l] * b[l];
    b[i] /= a[n * i + i];
  }
  for (int i = n - 1; i >= 0; i--) {
    for (int l = i + 1; l < n; l++) b[i] -= a[n * l + i] * b[l];
    b[i] /= a[n * i + i];
  }
}

/* How far the sample x, at p in the camera, moves along its normal in the image per twist of the part: j (6,). */
static inline void row_of(const double *pose, const pinhole *k, const double *x, const double *normal, const double *p,
                          double *j) {
  double g[3];
  g[0] = normal[0] * k->fx / p[2];
  g[1] = (normal[0] * k->skew + normal[1] * k->fy) / p[2];
  g[2] = -(g[0] * p[0] + g[1] * p[1]) / p[2];
  for (int a = 0; a < 3; a++) j[a] = g[0] * pose[a] + g[1] * pose[4 + a] + g[2] * pose[8 + a];
  /* A small rotation w moves x by w x x, so its row is x x j. */
  j[3] = x[1] * j[2] - x[2] * j[1];
  j[4] = x[2] * j[0] - x[0] * j[2];
  j[5] = x[0] * j[1] - x[1] * j[0];
}

/* pose <- pose [R(w) t; 0 1] for a twist (t, w) in the part frame. */
static inline void perturb(double *pose, const double *twist) {
  const double *w = twist + 3;
  double angle = sqrt(w[0] * w[0] + w[1] * w[1] + w[2] * w[2]);
  double s = angle < 1e-12 ? 1 : sin(angle) / angle, c = angle < 1e-12 ? 0 : (1 - cos(angle)) / (angle * angle);
  double cross[9] = {0, -w[2], w[1], w[2], 0, -w[0], -w[1], w[0], 0}, rotation[9], moved[12];
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 3; j++) {
      double square = 0;
      for (int l = 0; l < 3; l++) square += cross[3 * i + l] * cross[3 * l + j];
      rotation[3 * i + j] = (i == j) + s * cross[3 * i + j] + c * square;
    }
  for (int i = 0; i < 3; i++) {
    for (int j = 0; j < 3; j++) {
      moved[4 * i + j] = 0;
      for (int l = 0; l < 3; l++) moved[4 * i + j] += pose[4 * i + l] * rotation[3 * l + j];
    }
    moved[4 * i + 3] = pose[4 * i + 3];
    for (int l = 0; l < 3; l++) moved[4 * i + 3] += pose[4 * i + l] * twist[l];
  }
  memcpy(pose, moved, sizeof moved);
}
