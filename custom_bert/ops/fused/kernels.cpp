// Fused kernels of a training step on a CPU: what lies between the matrix products of an encoder layer, in
// one pass over memory each. `functions.py` says what they compute, `library.py` compiles and loads them.
//
// C++ with OpenMP and the compiler's vectors of 16 numbers, without torch's headers: the library is the same for
// every version of torch. Rows are divided among threads in order, and each thread adds up its own sums of
// columns, so that results depend on the number of threads and on nothing else.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

extern "C" int omp_get_thread_num(void);
extern "C" int omp_get_num_threads(void);

namespace {

constexpr int WIDE = 16;
using bf16 = uint16_t;
using Float = float __attribute__((vector_size(4 * WIDE)));
using Int = int32_t __attribute__((vector_size(4 * WIDE)));
using Unsigned = uint32_t __attribute__((vector_size(4 * WIDE)));

using Half = bf16 __attribute__((vector_size(2 * WIDE)));
using Short = int16_t __attribute__((vector_size(2 * WIDE)));
using Byte = int8_t __attribute__((vector_size(WIDE)));

// The next numbers, `count` of them: WIDE, but at the end of a row.

template <class Vector, class T>
inline Vector read(const T* from, int count) {
  Vector x = {};
  std::memcpy(&x, from, count * sizeof(T));
  return x;
}

inline Float load(const float* from, int count) { return read<Float>(from, count); }

inline Float load(const bf16* from, int count) {
  return (Float)(__builtin_convertvector(read<Half>(from, count), Unsigned) << 16);
}

inline Int load(const int8_t* from, int count) { return __builtin_convertvector(read<Byte>(from, count), Int); }

inline Int load(const int16_t* from, int count) { return __builtin_convertvector(read<Short>(from, count), Int); }

inline void store(float* to, Float x, int count) { std::memcpy(to, &x, count * sizeof(float)); }

inline void store(bf16* to, Float x, int count) {  // to the nearest, ties to even; what is no number stays so
#ifdef __AVX512BF16__
  const auto rounded = _mm512_cvtneps_pbh((__m512)x);
#else
  const Unsigned bits = (Unsigned)x;
  const Unsigned near = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16, none = Unsigned{} + 0x7fc0;
  const auto rounded = __builtin_convertvector(x == x ? near : none, Half);
#endif
  std::memcpy(to, &rounded, count * sizeof(bf16));
}

// Calls `work(j, count)` along a row. In all calls but the last the compiler knows that `count` is WIDE.
template <class Work>
inline __attribute__((always_inline)) void along(int64_t width, const Work& work) {
  int64_t j = 0;
  for (; j + WIDE <= width; j += WIDE) work(j, std::integral_constant<int, WIDE>());
  if (j < width) work(j, int(width - j));
}

inline float sum_of(Float x) {
  float parts[WIDE];
  std::memcpy(parts, &x, sizeof(x));
  for (int half = WIDE / 2; half; half /= 2)
    for (int i = 0; i < half; ++i) parts[i] += parts[i + half];
  return parts[0];
}

inline Float least(Float x, float most) { return x > most ? Float{} + most : x; }
inline Float most(Float x, float least) { return x < least ? Float{} + least : x; }

inline Float exponential(Float x) {  // Cephes' expf, relative error 2e-7
  x = most(least(x, 88.0f), -87.0f);
  const Float n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;  // the nearest whole number
  const Float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Float p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return p * (Float)((__builtin_convertvector(n, Int) + 127) << 23);
}

template <int count>
inline Float polynomial(Float x, const float (&coefficients)[count]) {
  Float p = Float{} + coefficients[count - 1];
  for (int i = count - 2; i >= 0; --i) p = p * x + coefficients[i];
  return p;
}

// Each activation gives its value, and its slope. Those of bf16 are exact to a tenth of its rounding near 1.

struct Gelu {
  static constexpr float END = 4.5f;
  static constexpr float SHARE[] = {3.989226536e-01f, -6.641388917e-02f, 9.885178381e-03f, -1.139840102e-03f,
                                    1.010621366e-04f, -6.722259073e-06f, 3.204200130e-07f, -1.020652225e-08f,
                                    1.927777376e-10f, -1.622162655e-12f};
  static constexpr float SLOPE[] = {7.978225116e-01f, -2.656680788e-01f, 5.942924304e-02f, -9.228596681e-03f,
                                    1.054217947e-03f, -8.997450866e-05f, 5.655380664e-06f, -2.523889446e-07f,
                                    7.513103576e-09f, -1.329842404e-10f, 1.054097294e-12f};

  template <class T>
  static Float share(Float x, Float* slope) {  // of the normal distribution below x
    if (std::is_same<T, bf16>::value) {  // polynomials that were fitted to it and to the slope, error 4e-6 and 2e-5
      const Float near = most(least(x, END), -END), square = near * near;
      const Float all = Float{} + 1.0f;
      if (slope) {
        const Float inside = 0.5f + near * polynomial(square, SLOPE);
        *slope = x > END ? all : x < -END ? Float{} : inside;
      }
      return most(least(0.5f + near * polynomial(square, SHARE), 1.0f), 0.0f);
    }
    // Abramowitz and Stegun 7.1.26, absolute error 1.5e-7
    const Float e = exponential(-0.5f * x * x), size = x < 0.0f ? -x : x;
    const Float t = 1.0f / (1.0f + 0.23164190f * size);
    Float p = 1.061405429f * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    const Float tail = 0.5f * p * t * e, below = x < 0.0f ? tail : 1.0f - tail;
    if (slope) *slope = below + x * e * 0.39894228f;
    return below;
  }

  template <class T>
  static Float value(Float x) {
    return x * share<T>(x, nullptr);
  }

  template <class T>
  static Float value(Float x, Float& slope) {
    return x * share<T>(x, &slope);
  }
};

struct GeluTanh {
  template <class T>
  static Float value(Float x, Float& slope) {
    const Float inner = 0.79788456f * (x + 0.044715f * x * x * x);
    const Float tanh = 1.0f - 2.0f / (1.0f + exponential(2.0f * inner));
    slope = 0.5f * (1.0f + tanh) +
            0.5f * x * (1.0f - tanh * tanh) * 0.79788456f * (1.0f + 0.134145f * x * x);
    return 0.5f * x * (1.0f + tanh);
  }

  template <class T>
  static Float value(Float x) {
    Float slope;
    return value<T>(x, slope);
  }
};

struct Relu {
  template <class T>
  static Float value(Float x, Float& slope) {
    slope = x > 0.0f ? Float{} + 1.0f : Float{};
    return value<T>(x);
  }

  template <class T>
  static Float value(Float x) {
    return x < 0.0f ? Float{} : x;
  }
};

struct Rows {
  int64_t first, end;
  int thread;
};

// Calls `work` once in each thread, with its share of the rows.
template <class Work>
void divided(int64_t rows, int threads, const Work& work) {
#pragma omp parallel num_threads(threads)
  {
    // OpenMP may give fewer threads than were asked for
    const int64_t thread = omp_get_thread_num(), given = omp_get_num_threads();
    work(Rows{rows * thread / given, rows * (thread + 1) / given, int(thread)});
  }
}

// Adds what the threads have summed up, (threads, width), to the first thread's.
void gather(float* sums, int threads, int64_t width) {
  for (int thread = 1; thread < threads; ++thread)
    for (int64_t j = 0; j < width; ++j) sums[j] += sums[thread * width + j];
}

inline void add(float* sum, Float x, int count) { store(sum, load(sum, count) + x, count); }

template <class T, class Act, bool gated>
void activate(const T* x, const float* bias, T* out, int64_t rows, int64_t width, int threads) {
  divided(rows, threads, [=](Rows own) {
    for (int64_t i = own.first; i < own.end; ++i) {
      const T *up = x + i * (gated ? 2 : 1) * width, *gate = up + width;
      T* to = out + i * width;
      along(width, [=](int64_t j, auto n) {
        Float y = Act::template value<T>(load(up + j, n) + load(bias + j, n));
        if (gated) y *= load(gate + j, n) + load(bias + width + j, n);
        store(to + j, y, n);
      });
    }
  });
}

template <class T, class Act, bool gated>
void activate_backward(const T* grad, const T* x, const float* bias, T* out, float* sums, int64_t rows,
                       int64_t width, int threads) {
  const int64_t all = (gated ? 2 : 1) * width;
  divided(rows, threads, [=](Rows own) {
    float* sum = sums + own.thread * all;
    for (int64_t i = own.first; i < own.end; ++i) {
      const T *up = x + i * all, *gate = up + width, *from = grad + i * width;
      T* to = out + i * all;
      along(width, [=](int64_t j, auto n) {
        Float slope, g = load(from + j, n);
        const Float value = Act::template value<T>(load(up + j, n) + load(bias + j, n), slope);
        if (gated) {
          store(to + width + j, g * value, n);
          add(sum + width + j, g * value, n);
          g *= load(gate + j, n) + load(bias + width + j, n);
        }
        g *= slope;
        store(to + j, g, n);
        add(sum + j, g, n);
      });
    }
  });
  gather(sums, threads, all);
}

// What dropout multiplies elements by: `factor`, or 0 for those whose lane is below `least`.
template <class Lane>
inline Float kept(const Lane* lanes, int32_t least, float factor, int count) {
  return load(lanes, count) >= least ? Float{} + factor : Float{};
}

// sum = residual + dropout(branch + bias), and its layer norm: `norm`, `rounded` or both.
template <class T, class Lane>
void add_norm(const float* residual, const T* branch, const float* bias, const Lane* lanes, int32_t least,
              float factor, const float* weight, const float* shift, float eps, float* sum, float* norm,
              T* rounded, float* mean, float* inverse, int64_t rows, int64_t width, int threads) {
  divided(rows, threads, [=](Rows own) {
    for (int64_t i = own.first; i < own.end; ++i) {
      const int64_t at = i * width;
      float* row = sum + at;
      Float total = {}, squares = {};
      along(width, [&](int64_t j, auto n) {
        Float x = load(branch + at + j, n) + load(bias + j, n);
        if (lanes) x *= kept(lanes + at + j, least, factor, n);
        x += load(residual + at + j, n);
        store(row + j, x, n);
        total += x;
      });
      const float middle = sum_of(total) / float(width);
      along(width, [&](int64_t j, auto n) {
        Float x = load(row + j, n) - middle;
        if (n < WIDE) x = read<Float>((const float*)&x, n);  // beyond the end of the row there are zeros
        squares += x * x;
      });
      const float scale = 1.0f / std::sqrt(sum_of(squares) / float(width) + eps);
      mean[i] = middle;
      inverse[i] = scale;
      along(width, [&](int64_t j, auto n) {
        const Float y = (load(row + j, n) - middle) * scale * load(weight + j, n) + load(shift + j, n);
        if (norm) store(norm + at + j, y, n);
        if (rounded) store(rounded + at + j, y, n);
      });
    }
  });
}

// The gradients of `norm`, of `rounded` and of the sum may each be missing. `sums` has for each thread the sums
// for bias, weight and shift, and room for a row: (threads, 4, width), zeros at first.
template <class T, class Lane>
void add_norm_backward(const float* grad_norm, const T* grad_rounded, const float* grad_sum, const float* sum,
                       const float* mean, const float* inverse, const float* weight, const Lane* lanes,
                       int32_t least, float factor, float* grad_residual, T* grad_branch, float* sums,
                       int64_t rows, int64_t width, int threads) {
  divided(rows, threads, [=](Rows own) {
    float* of_bias = sums + own.thread * 4 * width;
    float *of_weight = of_bias + width, *of_shift = of_weight + width, *room = of_shift + width;
    for (int64_t i = own.first; i < own.end; ++i) {
      const int64_t at = i * width;
      const float *row = sum + at, middle = mean[i], scale = inverse[i];
      Float total = {}, slope = {};
      along(width, [&](int64_t j, auto n) {
        Float g = {};
        if (grad_norm) g += load(grad_norm + at + j, n);
        if (grad_rounded) g += load(grad_rounded + at + j, n);
        const Float x = (load(row + j, n) - middle) * scale;
        add(of_weight + j, g * x, n);
        add(of_shift + j, g, n);
        g *= load(weight + j, n);
        store(room + j, g, n);
        total += g;
        slope += g * x;
      });
      const float level = sum_of(total) / float(width), tilt = sum_of(slope) / float(width);
      along(width, [&](int64_t j, auto n) {
        const Float x = (load(row + j, n) - middle) * scale;
        Float g = scale * (load(room + j, n) - level - x * tilt);
        if (grad_sum) g += load(grad_sum + at + j, n);
        store(grad_residual + at + j, g, n);
        if (lanes) g *= kept(lanes + at + j, least, factor, n);
        store(grad_branch + at + j, g, n);
        add(of_bias + j, g, n);
      });
    }
  });
  gather(sums, threads, 4 * width);
}

// C = A B, or C += A B: A has (m, depth), with element (i, k) at a[i * down + k * right], B (depth, n) and C (m, n)
// have rows one after the other, and n is a multiple of WIDE.

template <int M, int N>
inline void tile(const float* a, int64_t down, int64_t right, const float* b, float* c, int64_t n, int64_t depth,
                 bool more) {
  constexpr std::integral_constant<int, WIDE> all;
  Float sums[M * N];  // in registers, once all loops over it are unrolled
#pragma GCC unroll 16
  for (int i = 0; i < M * N; ++i) sums[i] = more ? load(c + i / N * n + i % N * WIDE, all) : Float{};
  for (int64_t k = 0; k < depth; ++k) {
#pragma GCC unroll 16
    for (int i = 0; i < M * N; ++i)
      sums[i] += a[i / N * down + k * right] * load(b + k * n + i % N * WIDE, all);
  }
#pragma GCC unroll 16
  for (int i = 0; i < M * N; ++i) store(c + i / N * n + i % N * WIDE, sums[i], all);
}

template <int M>
inline void band(const float* a, int64_t down, int64_t right, const float* b, float* c, int64_t n, int64_t depth,
                 bool more) {
  int64_t j = 0;
  for (; j + 4 * WIDE <= n; j += 4 * WIDE) tile<M, 4>(a, down, right, b + j, c + j, n, depth, more);
  if (j + 2 * WIDE <= n) tile<M, 2>(a, down, right, b + j, c + j, n, depth, more), j += 2 * WIDE;
  if (j < n) tile<M, 1>(a, down, right, b + j, c + j, n, depth, more);
}

void product(const float* a, int64_t down, int64_t right, const float* b, float* c, int64_t m, int64_t n,
             int64_t depth, bool more = false) {
  int64_t i = 0;
  for (; i + 4 <= m; i += 4) band<4>(a + i * down, down, right, b, c + i * n, n, depth, more);
  for (; i < m; ++i) band<1>(a + i * down, down, right, b, c + i * n, n, depth, more);
}

constexpr int64_t QUERIES = 32;  // that are computed at a time, so that their scores stay in the cache

// The queries, keys and values of one head of one sequence, and their places in memory.
template <class T>
struct Head {
  const T* from;      // the first token's query
  const float* bias;  // of the queries of this head
  int64_t width, step, length, size, padded;  // D, the distance of two tokens, L, K, and L up to a multiple of WIDE

  Head(const T* qkv, const float* bias, int64_t start, int64_t length, int64_t head, int64_t heads, int64_t size)
      : from(qkv + start * 3 * heads * size + head * size), bias(bias + head * size), width(heads * size),
        step(3 * heads * size), length(length), size(size), padded((length + WIDE - 1) / WIDE * WIDE) {}

  // Writes queries (part 0), keys (1) or values (2) of some tokens, (count, K), multiplied by `scale`.
  void rows(int part, int64_t first, int64_t count, float scale, float* to) const {
    for (int64_t i = 0; i < count; ++i)
      along(size, [&](int64_t k, auto n) {
        const Float x = load(from + (first + i) * step + part * width + k, n);
        store(to + i * size + k, (x + load(bias + part * width + k, n)) * scale, n);
      });
  }
};

// Turns (L, K) into (K, S), with zeros from L to S.
void transpose(const float* x, int64_t length, int64_t size, int64_t padded, float* to) {
  for (int64_t k = 0; k < size; ++k)
    for (int64_t j = length; j < padded; ++j) to[k * padded + j] = 0.0f;
  for (int64_t j = 0; j < length; ++j)
    for (int64_t k = 0; k < size; ++k) to[k * padded + j] = x[j * size + k];
}

// Attention inside each sequence. Each thread has `each` numbers of room. `levels`, (T, H), becomes the logarithm of
// the sum of each query's exponentials.
template <class T>
void attend(const T* qkv, const float* bias, const int32_t* starts, const int64_t* lengths, float scale, T* out,
            float* levels, float* rooms, int64_t each, int64_t sequences, int64_t heads, int64_t size, int threads) {
  divided(sequences * heads, threads, [=](Rows own) {
    for (int64_t pair = own.first; pair < own.end; ++pair) {
      const int64_t start = starts[pair / heads], head = pair % heads;
      const Head<T> x(qkv, bias, start, lengths[pair / heads], head, heads, size);
      const int64_t S = x.padded;
      float *values = rooms + own.thread * each, *keys = values + S * size, *scores = keys + S * size;
      float *queries = scores + QUERIES * S, *read = queries + QUERIES * size;
      x.rows(1, 0, x.length, 1.0f, values);  // a place for the keys until they are transposed
      transpose(values, x.length, size, S, keys);
      x.rows(2, 0, x.length, 1.0f, values);
      for (int64_t first = 0; first < x.length; first += QUERIES) {
        const int64_t count = x.length - first < QUERIES ? x.length - first : QUERIES;
        x.rows(0, first, count, scale, queries);
        product(queries, size, 1, keys, scores, count, S, size);
        for (int64_t i = 0; i < count; ++i) {
          float* row = scores + i * S;
          for (int64_t j = x.length; j < S; ++j) row[j] = -INFINITY;
          Float largest = Float{} - INFINITY, total = {};
          along(S, [&](int64_t j, auto n) {
            const Float y = load(row + j, n);
            largest = y > largest ? y : largest;
          });
          float top = largest[0];
          for (int j = 1; j < WIDE; ++j) top = largest[j] > top ? largest[j] : top;
          along(S, [&](int64_t j, auto n) {
            const Float y = exponential(load(row + j, n) - top);
            store(row + j, y, n);
            total += y;
          });
          const float sum = sum_of(total);
          levels[(start + first + i) * heads + head] = top + std::log(sum);
          along(S, [&](int64_t j, auto n) { store(row + j, load(row + j, n) * (1.0f / sum), n); });
        }
        product(scores, S, 1, values, read, count, size, x.length);
        for (int64_t i = 0; i < count; ++i)
          along(size, [&](int64_t k, auto n) {
            store(out + ((start + first + i) * heads + head) * size + k, load(read + i * size + k, n), n);
          });
      }
    }
  });
}

// `sums`, (threads, 3 H K), zeros at first, becomes the gradient of the bias.
template <class T>
void attend_backward(const T* grad, const T* qkv, const float* bias, const int32_t* starts, const int64_t* lengths,
                     float scale, const float* levels, T* out, float* sums, float* rooms, int64_t each,
                     int64_t sequences, int64_t heads, int64_t size, int threads) {
  divided(sequences * heads, threads, [=](Rows own) {
    for (int64_t pair = own.first; pair < own.end; ++pair) {
      const int64_t start = starts[pair / heads], head = pair % heads;
      const Head<T> x(qkv, bias, start, lengths[pair / heads], head, heads, size);
      const int64_t S = x.padded;
      float *keys = rooms + own.thread * each, *keys_across = keys + S * size, *values_across = keys_across + S * size;
      float *grad_keys = values_across + S * size, *grad_values = grad_keys + S * size;
      float *weights = grad_values + S * size, *slopes = weights + QUERIES * S;
      float *queries = slopes + QUERIES * S, *from = queries + QUERIES * size, *grad_queries = from + QUERIES * size;
      std::memset(grad_keys, 0, 2 * S * size * sizeof(float));  // and those of the values, which follow
      x.rows(2, 0, x.length, 1.0f, keys);  // a place for the values until they are transposed
      transpose(keys, x.length, size, S, values_across);
      x.rows(1, 0, x.length, 1.0f, keys);
      transpose(keys, x.length, size, S, keys_across);
      const auto put = [&](int part, int64_t first, int64_t count, float factor, const float* rows) {
        float* sum = sums + own.thread * x.step + part * x.width + head * size;
        for (int64_t i = 0; i < count; ++i)
          along(size, [&](int64_t k, auto n) {
            const Float y = load(rows + i * size + k, n) * factor;
            store(out + (start + first + i) * x.step + part * x.width + head * size + k, y, n);
            add(sum + k, y, n);
          });
      };
      for (int64_t first = 0; first < x.length; first += QUERIES) {
        const int64_t count = x.length - first < QUERIES ? x.length - first : QUERIES;
        x.rows(0, first, count, scale, queries);
        for (int64_t i = 0; i < count; ++i)
          along(size, [&](int64_t k, auto n) {
            store(from + i * size + k, load(grad + ((start + first + i) * heads + head) * size + k, n), n);
          });
        product(queries, size, 1, keys_across, weights, count, S, size);
        product(from, size, 1, values_across, slopes, count, S, size);
        for (int64_t i = 0; i < count; ++i) {
          const float level = levels[(start + first + i) * heads + head];
          float *weight = weights + i * S, *slope = slopes + i * S;
          Float total = {};
          along(S, [&](int64_t j, auto n) {  // beyond the sequence slopes are zero
            const Float y = exponential(load(weight + j, n) - level);
            store(weight + j, y, n);
            total += y * load(slope + j, n);
          });
          const float mean = sum_of(total);
          along(S, [&](int64_t j, auto n) {
            store(slope + j, load(weight + j, n) * (load(slope + j, n) - mean), n);
          });
        }
        product(slopes, S, 1, keys, grad_queries, count, size, x.length);
        put(0, first, count, scale, grad_queries);
        product(slopes, 1, S, queries, grad_keys, x.length, size, count, true);
        product(weights, 1, S, from, grad_values, x.length, size, count, true);
      }
      put(1, 0, x.length, 1.0f, grad_keys);
      put(2, 0, x.length, 1.0f, grad_values);
    }
  });
  gather(sums, threads, 3 * heads * size);
}

}  // namespace

// What `library.py` calls, for each type of the products and each activation.

#define ACTIVATION(NAME, T, ACT, GATED)                                                                     \
  extern "C" void activate_##NAME(const T* x, const float* bias, T* out, int64_t rows, int64_t width,       \
                                  int threads) {                                                            \
    activate<T, ACT, GATED>(x, bias, out, rows, width, threads);                                            \
  }                                                                                                         \
  extern "C" void activate_backward_##NAME(const T* grad, const T* x, const float* bias, T* out,            \
                                           float* sums, int64_t rows, int64_t width, int threads) {         \
    activate_backward<T, ACT, GATED>(grad, x, bias, out, sums, rows, width, threads);                       \
  }

#define ACTIVATIONS(NAME, ACT)                 \
  ACTIVATION(NAME##_float32, float, ACT, false) \
  ACTIVATION(NAME##_bfloat16, bf16, ACT, false) \
  ACTIVATION(NAME##_gated_float32, float, ACT, true) \
  ACTIVATION(NAME##_gated_bfloat16, bf16, ACT, true)

ACTIVATIONS(gelu, Gelu)
ACTIVATIONS(gelu_tanh, GeluTanh)
ACTIVATIONS(relu, Relu)

#define ADD_NORM(NAME, T, LANE)                                                                           \
  extern "C" void add_norm_##NAME(const float* residual, const T* branch, const float* bias,              \
                                  const LANE* lanes, int32_t least, float factor, const float* weight,    \
                                  const float* shift, float eps, float* sum, float* norm, T* rounded,     \
                                  float* mean, float* inverse, int64_t rows, int64_t width, int threads) { \
    add_norm<T, LANE>(residual, branch, bias, lanes, least, factor, weight, shift, eps, sum, norm,        \
                      rounded, mean, inverse, rows, width, threads);                                      \
  }                                                                                                       \
  extern "C" void add_norm_backward_##NAME(                                                               \
      const float* grad_norm, const T* grad_rounded, const float* grad_sum, const float* sum,             \
      const float* mean, const float* inverse, const float* weight, const LANE* lanes, int32_t least,     \
      float factor, float* grad_residual, T* grad_branch, float* sums, int64_t rows, int64_t width,       \
      int threads) {                                                                                      \
    add_norm_backward<T, LANE>(grad_norm, grad_rounded, grad_sum, sum, mean, inverse, weight, lanes,      \
                               least, factor, grad_residual, grad_branch, sums, rows, width, threads);    \
  }

ADD_NORM(float32_int8, float, int8_t)
ADD_NORM(float32_int16, float, int16_t)
ADD_NORM(bfloat16_int8, bf16, int8_t)
ADD_NORM(bfloat16_int16, bf16, int16_t)

#define ATTENTION(NAME, T)                                                                                     \
  extern "C" void attend_##NAME(const T* qkv, const float* bias, const int32_t* starts,                        \
                                const int64_t* lengths, float scale, T* out, float* levels, float* rooms,      \
                                int64_t each, int64_t sequences, int64_t heads, int64_t size, int threads) {   \
    attend<T>(qkv, bias, starts, lengths, scale, out, levels, rooms, each, sequences, heads, size, threads);   \
  }                                                                                                            \
  extern "C" void attend_backward_##NAME(const T* grad, const T* qkv, const float* bias,                       \
                                         const int32_t* starts, const int64_t* lengths, float scale,           \
                                         const float* levels, T* out, float* sums, float* rooms, int64_t each, \
                                         int64_t sequences, int64_t heads, int64_t size, int threads) {        \
    attend_backward<T>(grad, qkv, bias, starts, lengths, scale, levels, out, sums, rooms, each, sequences,     \
                       heads, size, threads);                                                                  \
  }

ATTENTION(float32, float)
ATTENTION(bfloat16, bf16)
