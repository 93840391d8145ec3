/* PaDiM's Gaussians on their lattice of three feature grids: moments, whitening and distances, 16 positions at a time.

A tile is 16 coarse cells side by side: 16 positions of layer 3, 2 rows of 32 of layer 2, 4 rows of 64 of layer 1. A
vector holds 16 neighbouring positions of one of these rows, so features are read as the network gives them, (channel,
row, column), and no number is stored that is not needed. A tile's model is a list of vectors in the order of use:

  for i < n3:                                                  W33[i][j], j <= i
  for each of 2 rows, each of 2 halves of it, for i < n2:      -A23[i][k], k < n3;  W22[i][j], j <= i
  for each of 4 rows, each of 4 quarters of it, for i < n1:    -A13[i][k], k < n3;  -A12[i][k], k < n2;  W11[i][j], j <= i

A tile's second moments (or covariances) C are a list in the same order, C33, C23, C22, C13, C12, C11. lattice.py says
what the letters mean. This file is compiled once for each instruction set (setup.py); kernel.py chooses when it loads it. */

#include <math.h>
#include <stdint.h>
#if defined(__F16C__)
#include <immintrin.h>
#endif

/* 16 lanes are one vector of the widest instruction set, and several of the others. */
enum { LANES = 16 };
#if defined(__AVX512F__)
enum { FLOATS = 16, DOUBLES = 8 };
#elif defined(__AVX2__)
enum { FLOATS = 8, DOUBLES = 4 };
#else
enum { FLOATS = 4, DOUBLES = 2 };
#endif
/* may_alias: the same memory is also written number by number. */
typedef float vec __attribute__((vector_size(4 * FLOATS), aligned(4), may_alias));
typedef double wide __attribute__((vector_size(8 * DOUBLES), aligned(8), may_alias));
#define EACH(part, step) for (int part = 0; part < LANES; part += (step))
#define INLINE static inline __attribute__((always_inline))

/* A layer's features (or means): channel c, row r, column x stand at base[c * channel + r * row + x]. */
typedef struct {
  const float *base;
  int64_t channel, row;
} grid;

INLINE vec load(const float *p) { return *(const vec *)p; }
INLINE void store(float *p, vec v) { *(vec *)p = v; }

INLINE vec load_half(const uint16_t *p) {
  union { float lane[FLOATS]; vec all; } out;
#if defined(__AVX512F__)
  _mm512_storeu_ps(out.lane, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)));
#elif defined(__F16C__)
  _mm256_storeu_ps(out.lane, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)));
#else
  for (int lane = 0; lane < FLOATS; lane++) {
    union { uint32_t bits; float value; } f = {.bits = (p[lane] & 0x7fffu) << 13};
    f.value *= 0x1p112f; /* the exponent's other bias; right for subnormal numbers too */
    f.bits |= (uint32_t)(p[lane] & 0x8000u) << 16;
    out.lane[lane] = f.value;
  }
#endif
  return out.all;
}

/* A model is read once, from its first byte to its last. Processors that stop fetching ahead at the end of a page of
   memory (Intel's) wait there without this: 1.35 times slower with halves. */
enum { AHEAD = 4096 };

/* Part of the k-th vector of a model stored as float or as half. */
INLINE vec weight(const void *w, int half, int64_t k, int part) {
  __builtin_prefetch((const char *)w + k * LANES * (half ? 2 : 4) + AHEAD);
  return half ? load_half((const uint16_t *)w + k * LANES + part) : load((const float *)w + k * LANES + part);
}

/* acc + the sum of `count` weights from `at` on, times as many vectors. */
INLINE vec dot(const void *w, int half, int64_t at, const float *x, int count, int part, vec acc) {
  vec other = {0};
  int k = 0;
  for (; k + 1 < count; k += 2) {
    acc += weight(w, half, at + k, part) * load(x + k * LANES + part);
    other += weight(w, half, at + k + 1, part) * load(x + (k + 1) * LANES + part);
  }
  if (k < count) acc += weight(w, half, at + k, part) * load(x + k * LANES + part);
  return acc + other;
}

/* Of `count` vectors: the 16 / repeat values from lane `first` on, each `repeat` times. */
INLINE void spread(const float *from, int64_t count, int first, int repeat, float *to) {
  for (int64_t i = 0; i < count; i++)
    for (int lane = 0; lane < LANES; lane++) to[i * LANES + lane] = from[i * LANES + first + lane / repeat];
}

/* x - mean of the 16 positions from (row, column) on. */
INLINE void deviation(grid x, grid mean, int channels, int row, int column, float *d) {
  for (int i = 0; i < channels; i++)
    EACH(part, FLOATS)
    store(d + i * LANES + part, load(x.base + i * x.channel + row * x.row + column + part) -
                                    load(mean.base + i * mean.channel + row * mean.row + column + part));
}

/* square[lane] += y[lane]^2. */
INLINE void add_square(float *square, int part, vec y) { store(square + part, load(square + part) + y * y); }

INLINE void score_tile(const void *w, int half, int n1, int n2, int n3, const grid *x, const grid *mean, float *out,
                       int64_t out_row) {
  const int most = n1 > n2 ? (n1 > n3 ? n1 : n3) : (n2 > n3 ? n2 : n3);
  float d[most * LANES], y3[n3 * LANES], y2[n2 * LANES], halves3[2][n3 * LANES], quarters3[4][n3 * LANES];
  float quarters2[2][4][n2 * LANES], square3[LANES] = {0}, square2[2][4][LANES], square[LANES];
  int64_t at = 0;
  deviation(x[2], mean[2], n3, 0, 0, d);
  for (int i = 0; i < n3; at += ++i) EACH(part, FLOATS) {
      const vec y = dot(w, half, at, d, i + 1, part, (vec){0});
      add_square(square3, part, y);
      store(y3 + i * LANES + part, y);
    }
  for (int side = 0; side < 2; side++) spread(y3, n3, 8 * side, 2, halves3[side]);
  for (int quarter = 0; quarter < 4; quarter++) spread(y3, n3, 4 * quarter, 4, quarters3[quarter]);
  for (int row = 0; row < 2; row++)
    for (int side = 0; side < 2; side++) {
      spread(square3, 1, 8 * side, 2, square);
      deviation(x[1], mean[1], n2, row, side * LANES, d);
      for (int i = 0; i < n2; at += n3 + ++i) EACH(part, FLOATS) {
          vec y = dot(w, half, at, halves3[side], n3, part, (vec){0});
          y = dot(w, half, at + n3, d, i + 1, part, y);
          add_square(square, part, y);
          store(y2 + i * LANES + part, y);
        }
      for (int quarter = 2 * side; quarter < 2 * side + 2; quarter++) {
        spread(y2, n2, 8 * (quarter % 2), 2, quarters2[row][quarter]);
        spread(square, 1, 8 * (quarter % 2), 2, square2[row][quarter]);
      }
    }
  for (int row = 0; row < 4; row++)
    for (int quarter = 0; quarter < 4; quarter++) {
      float *sum = square2[row / 2][quarter];
      EACH(part, FLOATS) store(square + part, load(sum + part));
      deviation(x[0], mean[0], n1, row, quarter * LANES, d);
      for (int i = 0; i < n1; at += n3 + n2 + ++i) EACH(part, FLOATS) {
          vec y = dot(w, half, at, quarters3[quarter], n3, part, (vec){0});
          y = dot(w, half, at + n3, quarters2[row / 2][quarter], n2, part, y);
          y = dot(w, half, at + n3 + n2, d, i + 1, part, y);
          add_square(square, part, y);
        }
      for (int lane = 0; lane < LANES; lane++) out[row * out_row + quarter * LANES + lane] = sqrtf(square[lane]);
    }
}

/* How many vectors a tile's model has. */
static int64_t vectors_of(int n1, int n2, int n3) {
  return n3 * (n3 + 1) / 2 + 4 * (int64_t)(n2 * n3 + n2 * (n2 + 1) / 2) +
         16 * (int64_t)(n1 * (n3 + n2) + n1 * (n1 + 1) / 2);
}

INLINE void score_rows(const void *w, int half, const int *n, int columns, const float *const *x,
                       const float *const *mean, int first, int last, int rows, float *out) {
  const int64_t size = vectors_of(n[0], n[1], n[2]) * LANES * (half ? 2 : 4);
  for (int row = first; row < last; row++)
    for (int column = 0; column < columns; column += LANES) {
      grid here[3], middle[3];
      for (int layer = 0, k = 4; layer < 3; layer++, k /= 2) {
        const int64_t line = (int64_t)columns * k, area = line * rows * k, from = row * k * line + column * k;
        here[layer] = (grid){x[layer] + from, area, line};
        middle[layer] = (grid){mean[layer] + from, area, line};
      }
      const int64_t tile = ((int64_t)row * columns + column) / LANES;
      score_tile((const char *)w + tile * size, half, n[0], n[1], n[2], here, middle,
                 out + (int64_t)row * 4 * columns * 4 + column * 4, columns * 4);
    }
}

/* Distances of the coarse rows first <= row < last of one image.
   n: channels of layers 1, 2, 3. columns, rows: of the coarse grid; columns a multiple of 16. x, mean: a pointer for each
   layer, (channels, rows k, columns k) with k 4, 2, 1. out: (4 rows, 4 columns). */
void lattice_score(const float *w, const int *n, int columns, const float *const *x, const float *const *mean,
                   int first, int last, int rows, float *out) {
  score_rows(w, 0, n, columns, x, mean, first, last, rows, out);
}

/* The same with weights stored in half precision. */
void lattice_score_half(const uint16_t *w, const int *n, int columns, const float *const *x, const float *const *mean,
                        int first, int last, int rows, float *out) {
  score_rows(w, 1, n, columns, x, mean, first, last, rows, out);
}

INLINE wide get(const double *p, int64_t k) { return *(const wide *)(p + k * LANES); }
INLINE void put(double *p, int64_t k, wide v) { *(wide *)(p + k * LANES) = v; }

/* For i < rows, j < columns (or j <= i): to[start + i step + i (i + 1) / 2 + j] += the sum over the samples of a[i] b[j].
   a, b: a vector for each channel and sample. Four by four, so that each vector is read once in four. */
static void add_products(const double *a, int rows, const double *b, int columns, int lower, int samples, int64_t start,
                         int64_t step, double *to) {
  for (int i0 = 0; i0 < rows; i0 += 4)
    for (int j0 = 0; j0 < (lower && i0 + 4 < columns ? i0 + 4 : columns); j0 += 4)
      EACH(part, DOUBLES) {
        const double *pa[4], *pb[4];
        for (int m = 0; m < 4; m++) {
          pa[m] = a + (int64_t)(i0 + m < rows ? i0 + m : i0) * samples * LANES + part;
          pb[m] = b + (int64_t)(j0 + m < columns ? j0 + m : j0) * samples * LANES + part;
        }
        wide acc[4][4] = {{{0}}};
        for (int64_t k = 0; k < samples; k++) {
          const wide b0 = get(pb[0], k), b1 = get(pb[1], k), b2 = get(pb[2], k), b3 = get(pb[3], k);
          for (int m = 0; m < 4; m++) {
            const wide v = get(pa[m], k);
            acc[m][0] += v * b0;
            acc[m][1] += v * b1;
            acc[m][2] += v * b2;
            acc[m][3] += v * b3;
          }
        }
        for (int m = 0; m < 4 && i0 + m < rows; m++) {
          const int64_t i = i0 + m, at = start + i * step + i * (i + 1) / 2;
          for (int l = 0; l < 4 && j0 + l < columns && (!lower || j0 + l <= i); l++)
            put(to + part, at + j0 + l, get(to + part, at + j0 + l) + acc[m][l]);
        }
      }
}

/* d[i][sample] = x - offset, and their sums: a vector a channel. */
static void gather(const float *const *x, int layer, int samples, int64_t channel, int64_t from, const float *offset,
                   int channels, double *d, double *sums) {
  for (int i = 0; i < channels; i++)
    for (int k = 0; k < samples; k++) {
      const float *values = x[3 * k + layer] + i * channel + from;
      for (int lane = 0; lane < LANES; lane++) {
        const double v = (double)values[lane] - (double)offset[i];
        d[((int64_t)i * samples + k) * LANES + lane] = v;
        sums[i * LANES + lane] += v;
      }
    }
}

/* As spread. */
static void spread_wide(const double *from, int64_t count, int first, int repeat, double *to) {
  for (int64_t i = 0; i < count; i++)
    for (int lane = 0; lane < LANES; lane++) to[i * LANES + lane] = from[i * LANES + first + lane / repeat];
}

/* Adds the second moments and the sums of some samples of one tile.
   x: three pointers (layers 1, 2, 3) for each sample. strides: for each layer, floats from one channel and from one row
   to the next. offsets: of each layer, a number a channel, taken off everything first. scratch: (3 n3 + 2 n2 + n1)
   samples vectors of doubles. moments: a tile's list. sums: n3; for each row and half n2; for each row and quarter n1
   vectors. */
void lattice_moments(const int *n, int samples, const float *const *x, const int64_t *strides,
                     const float *const *offsets, double *scratch, double *moments, double *sums) {
  const int n1 = n[0], n2 = n[1], n3 = n[2];
  const int64_t one = (int64_t)samples * LANES;
  double *d3 = scratch, *half3 = d3 + n3 * one, *quarter3 = half3 + n3 * one, *d2 = quarter3 + n3 * one;
  double *quarter2 = d2 + n2 * one, *d1 = quarter2 + n2 * one;
  const int64_t start2 = n3 * (n3 + 1) / 2, size2 = n2 * n3 + n2 * (n2 + 1) / 2;
  const int64_t start1 = start2 + 4 * size2, size1 = n1 * (n3 + n2) + n1 * (n1 + 1) / 2;
  double *sums2 = sums + n3 * LANES, *sums1 = sums2 + 4 * n2 * LANES;
  gather(x, 2, samples, strides[4], 0, offsets[2], n3, d3, sums);
  add_products(d3, n3, d3, n3, 1, samples, 0, 0, moments);
  for (int half = 0; half < 2; half++) {
    spread_wide(d3, n3 * samples, 8 * half, 2, half3);
    for (int row = 0; row < 2; row++) {
      const int64_t place = 2 * row + half, start = start2 + place * size2;
      gather(x, 1, samples, strides[2], row * strides[3] + half * LANES, offsets[1], n2, d2, sums2 + place * n2 * LANES);
      add_products(d2, n2, half3, n3, 0, samples, start, n3, moments);
      add_products(d2, n2, d2, n2, 1, samples, start + n3, n3, moments);
      for (int side = 0; side < 2; side++) {
        const int part = 2 * half + side;
        spread_wide(d3, n3 * samples, 4 * part, 4, quarter3);
        spread_wide(d2, n2 * samples, 8 * side, 2, quarter2);
        for (int fine = 2 * row; fine < 2 * row + 2; fine++) {
          const int64_t below = 4 * fine + part, begin = start1 + below * size1, step = n3 + n2;
          gather(x, 0, samples, strides[0], fine * strides[1] + part * LANES, offsets[0], n1, d1,
                 sums1 + below * n1 * LANES);
          add_products(d1, n1, quarter3, n3, 0, samples, begin, step, moments);
          add_products(d1, n1, quarter2, n2, 0, samples, begin + n3, step, moments);
          add_products(d1, n1, d1, n1, 1, samples, begin + n3 + n2, step, moments);
        }
      }
    }
  }
}

INLINE void put_float(float *w, int64_t k, wide v) {
  for (int lane = 0; lane < DOUBLES; lane++) w[k * LANES + lane] = (float)v[lane];
}
#define TRI(i, j) ((int64_t)(i) * ((i) + 1) / 2 + (j))

/* The sum over k < count of a[first + k] b[other + k]. */
INLINE wide dot_wide(const double *a, int64_t first, const double *b, int64_t other, int count) {
  wide even = {0}, odd = {0};
  int k = 0;
  for (; k + 1 < count; k += 2) {
    even += get(a, first + k) * get(b, other + k);
    odd += get(a, first + k + 1) * get(b, other + k + 1);
  }
  if (k < count) even += get(a, first + k) * get(b, other + k);
  return even + odd;
}

/* The lower triangle s of a matrix becomes the inverse of its Cholesky factor; 1 where it is not positive definite. */
static int whiten_triangle(double *all, int n) {
  EACH(part, DOUBLES) {
    double *s = all + part;
    for (int i = 0; i < n; i++)
      for (int j = 0; j <= i; j++) {
        wide v = get(s, TRI(i, j)) - dot_wide(s, TRI(i, 0), s, TRI(j, 0), j);
        if (j < i) {
          v *= get(s, TRI(j, j)); /* where 1 / L[j][j] stands already */
        } else {
          for (int lane = 0; lane < DOUBLES; lane++) {
            if (!(v[lane] > 0)) return 1;
            v[lane] = 1 / sqrt(v[lane]);
          }
        }
        put(s, TRI(i, j), v);
      }
    for (int i = 0; i < n; i++)
      for (int j = 0; j < i; j++) { /* from the left on: row i of L is still needed right of j */
        wide v = get(s, TRI(i, j)) * get(s, TRI(j, j));
        for (int k = j + 1; k < i; k++) v += get(s, TRI(i, k)) * get(s, TRI(k, j));
        put(s, TRI(i, j), -v * get(s, TRI(i, i)));
      }
  }
  return 0;
}

/* to = a w^T, a (rows, n), w a lower triangle. */
static void times_triangle(const double *a, int rows, const double *w, int n, double *to) {
  EACH(part, DOUBLES)
  for (int i = 0; i < rows; i++)
    for (int k = 0; k < n; k++) put(to + part, i * n + k, dot_wide(a + part, i * n, w + part, TRI(k, 0), k + 1));
}

/* s (rows, columns), or its lower triangle, -= a b^T, a (rows, n), b (columns, n). */
static void take_product(double *s, int lower, const double *a, int rows, const double *b, int columns, int n) {
  EACH(part, DOUBLES)
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < (lower ? i + 1 : columns); j++) {
      const int64_t k = lower ? TRI(i, j) : (int64_t)i * columns + j;
      put(s + part, k, get(s + part, k) - dot_wide(a + part, i * n, b + part, j * n, n));
    }
}

/* Row i of -w a goes to out[at]; a (.., n), w a lower triangle. */
static void put_row(float *out, int64_t at, const double *w, int i, const double *a, int n) {
  EACH(part, DOUBLES)
  for (int k = 0; k < n; k++) {
    wide v = {0};
    for (int j = 0; j <= i; j++) v += get(w + part, TRI(i, j)) * get(a + part, j * n + k);
    put_float(out + part, at + k, -v);
  }
}

static void put_vectors(float *out, int64_t at, const double *from, int64_t first, int count) {
  for (int64_t k = 0; k < (int64_t)count * LANES; k++) out[at * LANES + k] = (float)from[first * LANES + k];
}

/* to (rows, columns), or its lower triangle: the covariances of `rows` variables with `columns` others, from the list's
   rows of moments that begin at `at` and are step + 1, step + 2, ... long. */
static void covariances(const double *moments, int64_t at, int64_t step, int rows, const double *mine, int columns,
                        const double *theirs, int lower, double count, double *to) {
  for (int i = 0; i < rows; i++, at += step + i)
    for (int j = 0; j < (lower ? i + 1 : columns); j++) {
      const int64_t k = lower ? TRI(i, j) : (int64_t)i * columns + j;
      for (int lane = 0; lane < LANES; lane++)
        to[k * LANES + lane] = (moments[(at + j) * LANES + lane] -
                                mine[i * LANES + lane] * theirs[j * LANES + lane] / count) / (count - 1);
    }
}

static void regularise(double *s, int n, double amount) {
  for (int i = 0; i < n; i++)
    for (int lane = 0; lane < LANES; lane++) s[TRI(i, i) * LANES + lane] += amount;
}

/* A tile's model from its moments; 1 where a covariance is not positive definite.
   scratch: lattice_scratch(n) vectors of doubles. weights: the list of W and -A. deviations: like sums, what to add to
   the offsets for the means. */
int lattice_whiten(const int *n, const double *moments, const double *sums, double count, double regularisation,
                   double *scratch, float *weights, float *deviations) {
  const int n1 = n[0], n2 = n[1], n3 = n[2];
  const int64_t t3 = n3 * (n3 + 1) / 2, t2 = n2 * (n2 + 1) / 2, t1 = n1 * (n1 + 1) / 2;
  const int64_t size2 = n2 * n3 + t2, start1 = t3 + 4 * size2, size1 = n1 * (n3 + n2) + t1;
  double *w33 = scratch, *w3 = w33 + t3 * LANES, *s3 = w3 + t3 * LANES, *c = s3 + n3 * LANES;
  double *g23 = c + (int64_t)(n1 > n2 ? n1 : n2) * n3 * LANES, *w22 = g23 + (int64_t)n2 * n3 * LANES;
  double *g2 = w22 + t2 * LANES, *w2 = g2 + (int64_t)n2 * n3 * LANES, *s2 = w2 + t2 * LANES;
  double *g13 = s2 + n2 * LANES, *c12 = g13 + (int64_t)n1 * n3 * LANES, *g12 = c12 + (int64_t)n1 * n2 * LANES;
  double *w11 = g12 + (int64_t)n1 * n2 * LANES;
  const double *sums2 = sums + n3 * LANES, *sums1 = sums2 + 4 * n2 * LANES;
  for (int64_t k = 0; k < (n3 + 4 * n2 + 16 * n1) * LANES; k++) deviations[k] = (float)(sums[k] / count);
  covariances(moments, 0, 0, n3, sums, n3, sums, 1, count, w33);
  regularise(w33, n3, regularisation);
  if (whiten_triangle(w33, n3)) return 1;
  put_vectors(weights, 0, w33, 0, t3);
  for (int half = 0; half < 2; half++)
    for (int row = 0; row < 2; row++) {
      const int64_t place = 2 * row + half, start = t3 + place * size2;
      const double *mine = sums2 + place * n2 * LANES;
      spread_wide(w33, t3, 8 * half, 2, w3);
      spread_wide(sums, n3, 8 * half, 2, s3);
      covariances(moments, start, n3, n2, mine, n3, s3, 0, count, c);
      times_triangle(c, n2, w3, n3, g23);
      covariances(moments, start + n3, n3, n2, mine, n2, mine, 1, count, w22);
      regularise(w22, n2, regularisation);
      take_product(w22, 1, g23, n2, g23, n2, n3);
      if (whiten_triangle(w22, n2)) return 1;
      int64_t at = start;
      for (int i = 0; i < n2; at += n3 + ++i) {
        put_row(weights, at, w22, i, g23, n3);
        put_vectors(weights, at + n3, w22, TRI(i, 0), i + 1);
      }
      for (int side = 0; side < 2; side++) {
        const int part = 2 * half + side;
        spread_wide(w33, t3, 4 * part, 4, w3);
        spread_wide(sums, n3, 4 * part, 4, s3);
        spread_wide(g23, (int64_t)n2 * n3, 8 * side, 2, g2);
        spread_wide(w22, t2, 8 * side, 2, w2);
        spread_wide(mine, n2, 8 * side, 2, s2);
        for (int fine = 2 * row; fine < 2 * row + 2; fine++) {
          const int64_t below = 4 * fine + part, begin = start1 + below * size1, step = n3 + n2;
          const double *own = sums1 + below * n1 * LANES;
          covariances(moments, begin, step, n1, own, n3, s3, 0, count, c);
          times_triangle(c, n1, w3, n3, g13);
          covariances(moments, begin + n3, step, n1, own, n2, s2, 0, count, c12);
          take_product(c12, 0, g13, n1, g2, n2, n3);
          times_triangle(c12, n1, w2, n2, g12);
          covariances(moments, begin + n3 + n2, step, n1, own, n1, own, 1, count, w11);
          regularise(w11, n1, regularisation);
          take_product(w11, 1, g13, n1, g13, n1, n3);
          take_product(w11, 1, g12, n1, g12, n1, n2);
          if (whiten_triangle(w11, n1)) return 1;
          at = begin;
          for (int i = 0; i < n1; at += n3 + n2 + ++i) {
            put_row(weights, at, w11, i, g13, n3);
            put_row(weights, at + n3, w11, i, g12, n2);
            put_vectors(weights, at + n3 + n2, w11, TRI(i, 0), i + 1);
          }
        }
      }
    }
  return 0;
}

/* gram[pair] += y[j] y[k] for each pair k <= j of the samples; y: a vector a sample. */
static void add_pairs(float *gram, const float *y, int samples) {
  for (int j = 0, pair = 0; j < samples; j++)
    for (int k = 0; k <= j; k++, pair++)
      EACH(part, FLOATS) {
        float *to = gram + pair * LANES + part;
        store(to, load(to) + load(y + j * LANES + part) * load(y + k * LANES + part));
      }
}

/* The products of the whitened deviations of several samples with each other, at each position of a tile.
   x, strides: as in lattice_moments; mean, mean_strides alike, of the tile's means. scratch: (7 n3 + 2 n2 + max(n) + 1)
   samples + 3 pairs vectors. out: (pairs, 4, 64), pairs j (j + 1) / 2 + k of samples k <= j. */
void lattice_gram(const float *w, const int *n, int samples, const float *const *x, const int64_t *strides,
                  const float *const *mean, const int64_t *mean_strides, float *scratch, float *out) {
  const int n1 = n[0], n2 = n[1], n3 = n[2], pairs = samples * (samples + 1) / 2;
  const int64_t start2 = n3 * (n3 + 1) / 2, size2 = n2 * n3 + n2 * (n2 + 1) / 2;
  const int64_t start1 = start2 + 4 * size2, size1 = n1 * (n3 + n2) + n1 * (n1 + 1) / 2;
  const int64_t one3 = n3 * LANES, one2 = n2 * LANES, most = n1 > n2 ? (n1 > n3 ? n1 : n3) : (n2 > n3 ? n2 : n3);
  float *y3 = scratch, *half3 = y3 + samples * one3, *quarter3 = half3 + 2 * samples * one3;
  float *y2 = quarter3 + 4 * samples * one3, *above2 = y2 + samples * one2, *d = above2 + samples * one2;
  float *y = d + samples * most * LANES, *gram3 = y + samples * LANES, *gram2 = gram3 + pairs * LANES;
  float *gram1 = gram2 + pairs * LANES;
  grid middle[3];
  for (int layer = 0; layer < 3; layer++)
    middle[layer] = (grid){mean[layer], mean_strides[2 * layer], mean_strides[2 * layer + 1]};
#define DEVIATIONS(layer, channels, row, column)                                               \
  for (int s = 0; s < samples; s++)                                                            \
    deviation((grid){x[3 * s + layer], strides[2 * layer], strides[2 * layer + 1]}, middle[layer], channels, row, \
              column, d + s * most * LANES)
  for (int i = 0; i < 3 * pairs * LANES; i++) gram3[i] = 0;
  DEVIATIONS(2, n3, 0, 0);
  int64_t at = 0;
  for (int i = 0; i < n3; at += ++i) {
    for (int s = 0; s < samples; s++)
      EACH(part, FLOATS) {
        const vec v = dot(w, 0, at, d + s * most * LANES, i + 1, part, (vec){0});
        store(y3 + s * one3 + i * LANES + part, v);
        store(y + s * LANES + part, v);
      }
    add_pairs(gram3, y, samples);
  }
  for (int s = 0; s < samples; s++) {
    for (int half = 0; half < 2; half++) spread(y3 + s * one3, n3, 8 * half, 2, half3 + (2 * s + half) * one3);
    for (int part = 0; part < 4; part++) spread(y3 + s * one3, n3, 4 * part, 4, quarter3 + (4 * s + part) * one3);
  }
  for (int place = 0; place < 4; place++) {
    const int row = place / 2, half = place % 2;
    spread(gram3, pairs, 8 * half, 2, gram2);
    DEVIATIONS(1, n2, row, half * LANES);
    at = start2 + place * size2;
    for (int i = 0; i < n2; at += n3 + ++i) {
      for (int s = 0; s < samples; s++)
        EACH(part, FLOATS) {
          vec v = dot(w, 0, at, half3 + (2 * s + half) * one3, n3, part, (vec){0});
          v = dot(w, 0, at + n3, d + s * most * LANES, i + 1, part, v);
          store(y2 + s * one2 + i * LANES + part, v);
          store(y + s * LANES + part, v);
        }
      add_pairs(gram2, y, samples);
    }
    for (int quarter = 2 * half; quarter < 2 * half + 2; quarter++) {
      for (int s = 0; s < samples; s++) spread(y2 + s * one2, n2, 8 * (quarter % 2), 2, above2 + s * one2);
      for (int fine = 2 * row; fine < 2 * row + 2; fine++) {
        spread(gram2, pairs, 8 * (quarter % 2), 2, gram1);
        DEVIATIONS(0, n1, fine, quarter * LANES);
        at = start1 + (4 * fine + quarter) * size1;
        for (int i = 0; i < n1; at += n3 + n2 + ++i) {
          for (int s = 0; s < samples; s++)
            EACH(part, FLOATS) {
              vec v = dot(w, 0, at, quarter3 + (4 * s + quarter) * one3, n3, part, (vec){0});
              v = dot(w, 0, at + n3, above2 + s * one2, n2, part, v);
              v = dot(w, 0, at + n3 + n2, d + s * most * LANES, i + 1, part, v);
              store(y + s * LANES + part, v);
            }
          add_pairs(gram1, y, samples);
        }
        for (int pair = 0; pair < pairs; pair++)
          for (int lane = 0; lane < LANES; lane++)
            out[(pair * 4 + fine) * 64 + quarter * LANES + lane] = gram1[pair * LANES + lane];
      }
    }
  }
#undef DEVIATIONS
}

/* How many vectors of 16 doubles lattice_whiten needs as scratch. */
int64_t lattice_scratch(const int *n) {
  const int64_t n1 = n[0], n2 = n[1], n3 = n[2];
  return n3 * (n3 + 1) + n3 + (n1 > n2 ? n1 : n2) * n3 + 2 * n2 * n3 + n2 * (n2 + 1) + n2 + n1 * n3 + 2 * n1 * n2 +
         n1 * (n1 + 1) / 2;
}

/* What kernel.py expects: raised with every change of a function's arguments or of the order of the numbers. */
int lattice_version(void) { return 1; }
