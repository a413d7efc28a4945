// Convolutions of oneDNN as a custom call of XLA on CPUs: values, and the gradients for the input
// and for the kernel. Arrays are float32, images [batch, height, width, channels], kernels
// [height, width, in / groups, out].
//
// The batch is split among the threads of XLA's own pool, and oneDNN computes each part on one
// thread. A second pool of threads, OpenMP's, would compete with XLA's for the same cores; it
// computes batches that are smaller than the number of threads.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <unordered_map>

#include "plan.h"
#include "xla/ffi/api/ffi.h"

namespace {

namespace ffi = xla::ffi;
using Array = ffi::Buffer<ffi::F32>;
using Numbers = ffi::Span<const int64_t>;

// Memory of one thread, kept and enlarged when needed.
class Room {
 public:
  ~Room() { std::free(data_); }
  void* Bytes(size_t size) {
    if (size > size_) {
      std::free(data_);
      size_ = 0;
      const size_t whole = (size + 4095) / 4096 * 4096;
      data_ = std::aligned_alloc(4096, whole);
      if (data_ == nullptr) throw std::bad_alloc();
      size_ = whole;
    }
    return data_;
  }

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

// Calls task(0) to task(count - 1) on threads of the pool and on this one, which does whatever no
// other has begun: it never waits for a task that waits for a thread.
void Share(ffi::ThreadPool& pool, int64_t count, const std::function<void(int64_t)>& task) {
  struct State {
    std::function<void(int64_t)> task;
    int64_t count, done = 0;
    std::atomic<int64_t> next{0};
    std::mutex mutex;
    std::condition_variable changed;
    std::exception_ptr error;
  };
  const auto state = std::make_shared<State>();
  state->task = task;
  state->count = count;
  const auto work = [state] {
    for (int64_t i; (i = state->next++) < state->count;) {
      std::exception_ptr error;
      try {
        state->task(i);
      } catch (...) {
        error = std::current_exception();
      }
      const std::lock_guard<std::mutex> lock(state->mutex);
      if (error) state->error = error;
      if (++state->done == state->count) state->changed.notify_all();
    }
  };
  for (int64_t i = 1; i < count; ++i) pool.Schedule(std::function<void()>(work));
  work();
  std::unique_lock<std::mutex> lock(state->mutex);
  state->changed.wait(lock, [&] { return state->done == state->count; });
  if (state->error) std::rethrow_exception(state->error);
}

void Execute(const Part& part, const Shape& s, float* images, float* kernel, float* results) {
  static thread_local Room scratch;
  static thread_local dnnl::stream stream(Engine());
  const Threads threads(s.threads);
  const int image = s.pass == kInput ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC;
  const int weight = s.pass == kWeight ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS;
  const int result = s.pass == kForward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST;
  std::unordered_map<int, memory> arguments = {
      {image, memory(part.images, Engine(), images)},
      {weight, memory(part.kernel, Engine(), kernel)},
      {result, memory(part.results, Engine(), results)},
  };
  if (part.scratch > 0) {
    const memory::desc bytes({static_cast<int64_t>(part.scratch)}, memory::data_type::u8,
                             memory::format_tag::a);
    arguments.emplace(DNNL_ARG_SCRATCHPAD, memory(bytes, Engine(), scratch.Bytes(part.scratch)));
  }
  part.compute.execute(stream, arguments);
  stream.wait();
}

void Reorder(const Plan& plan, const Shape& s, float* from, float* to) {
  static thread_local dnnl::stream stream(Engine());
  const Threads threads(s.threads);
  const bool back = s.pass == kWeight;
  const auto &wanted = plan.smaller.kernel, &outer = plan.kernel;
  memory source(back ? wanted : outer, Engine(), from), target(back ? outer : wanted, Engine(), to);
  plan.reorder.execute(stream, {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, target}});
  stream.wait();
}

// Adds the later of `parts` arrays, one after another in memory, to the first, piece by piece.
void Sum(ffi::ThreadPool& pool, int64_t parts, int64_t size, float* first, const float* others) {
  const int64_t pieces = size < (1 << 16) ? 1 : parts;
  Share(pool, pieces, [&](int64_t piece) {
    const int64_t begin = size * piece / pieces, end = size * (piece + 1) / pieces;
    for (int64_t part = 1; part < parts; ++part) {
      const float* other = others + size * part;
      for (int64_t i = begin; i < end; ++i) first[i] += other[i];
    }
  });
}

ffi::Error Compute(ffi::ThreadPool pool, Shape s, float* images, float* kernel,
                   float* results) try {
  static thread_local Room room;
  const int64_t threads = std::max<int64_t>(pool.num_threads(), 1);
  s.parts = s.batch < threads ? 1 : threads;
  s.threads = s.batch < threads ? threads : 1;
  const Plan& plan = Cached(s);
  const size_t bytes = plan.smaller.kernel.get_size();
  const int64_t size = static_cast<int64_t>(bytes / sizeof(float));
  const int64_t image = s.image[0] * s.image[1] * s.in;
  const int64_t result = s.result[0] * s.result[1] * s.out;
  const auto run = [&](int64_t part, float* weights) {
    const int64_t first = s.First(part), count = s.First(part + 1) - first;
    Execute(count * s.parts > s.batch ? plan.larger : plan.smaller, s, images + first * image,
            weights, results + first * result);
  };
  if (s.pass != kWeight) {
    float* weights = kernel;
    if (plan.reordered) {
      weights = static_cast<float*>(room.Bytes(bytes));
      Reorder(plan, s, kernel, weights);
    }
    Share(pool, s.parts, [&](int64_t part) { run(part, weights); });
    return ffi::Error::Success();
  }
  // A gradient of each part. The first lies in the result itself if its layout is the same.
  auto* gradients = static_cast<float*>(room.Bytes(bytes * s.parts));
  float* first = plan.reordered ? gradients : kernel;
  Share(pool, s.parts,
        [&](int64_t part) { run(part, part == 0 ? first : gradients + size * part); });
  Sum(pool, s.parts, size, first, gradients);
  if (plan.reordered) Reorder(plan, s, first, kernel);
  return ffi::Error::Success();
} catch (const std::exception& error) {
  return ffi::Error::Internal(std::string("oneDNN: ") + error.what());
}

// Forward: images, kernel -> results. Input: results, kernel -> images. Weight: images,
// results -> kernel.
ffi::Error Handle(ffi::ThreadPool pool, Array a, Array b, ffi::Result<Array> c, int64_t pass,
                  Numbers strides, Numbers low, Numbers high, Numbers dilation, int64_t groups) {
  const bool forward = pass == kForward, input = pass == kInput;
  Array images = input ? *c : a, kernel = pass == kWeight ? *c : b;
  Array results = forward ? *c : input ? a : b;
  const auto x = images.dimensions(), k = kernel.dimensions(), y = results.dimensions();
  const auto pair = [](Numbers numbers) { return Pair{numbers[0], numbers[1]}; };
  Shape s;
  s.pass = pass;
  s.batch = x[0];
  s.image = {x[1], x[2]};
  s.in = x[3];
  s.result = {y[1], y[2]};
  s.out = y[3];
  s.kernel = {k[0], k[1]};
  s.strides = pair(strides);
  s.dilation = pair(dilation);
  s.low = pair(low);
  s.high = pair(high);
  s.groups = groups;
  return Compute(pool, s, images.typed_data(), kernel.typed_data(), results.typed_data());
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(jresnet_convolution, Handle,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Ret<Array>()
                                  .Attr<int64_t>("pass")
                                  .Attr<Numbers>("strides")
                                  .Attr<Numbers>("low")
                                  .Attr<Numbers>("high")
                                  .Attr<Numbers>("dilation")
                                  .Attr<int64_t>("groups"));
