// Convolutions as oneDNN prepares them: shapes, layouts and primitives, kept for each shape.

#ifndef JRESNET_NATIVE_PLAN_H_
#define JRESNET_NATIVE_PLAN_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "oneapi/dnnl/dnnl.hpp"

#if DNNL_VERSION_MAJOR < 3 || DNNL_CPU_THREADING_RUNTIME != DNNL_RUNTIME_OMP
#error "oneDNN 3 or newer, built for OpenMP, is needed"
#endif

// Functions of the OpenMP library that oneDNN is linked with. The compiler's own may be another.
extern "C" int omp_get_max_threads();
extern "C" void omp_set_num_threads(int count);

namespace {

using dnnl::memory;
using Pair = std::array<int64_t, 2>;

enum Pass : int64_t { kForward = 0, kInput = 1, kWeight = 2 };

struct Shape {
  int64_t pass, batch;
  Pair image, result, kernel, strides, dilation, low, high;
  int64_t in, out, groups;
  int64_t parts, threads;  // of the batch, and of each part

  std::vector<int64_t> Key() const {
    std::vector<int64_t> key = {pass, batch, in, out, groups, parts, threads};
    for (const Pair& pair : {image, result, kernel, strides, dilation, low, high})
      key.insert(key.end(), pair.begin(), pair.end());
    return key;
  }
  int64_t First(int64_t part) const { return batch * part / parts; }
};

const dnnl::engine& Engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

// oneDNN uses as many threads as OpenMP would in the calling thread.
class Threads {
 public:
  explicit Threads(int64_t count) : before_(omp_get_max_threads()) {
    omp_set_num_threads(static_cast<int>(count));
  }
  ~Threads() { omp_set_num_threads(before_); }

 private:
  int before_;
};

// oneDNN's primitive for one part of the batch.
struct Part {
  memory::desc images, results, kernel;
  dnnl::primitive compute;
  size_t scratch = 0;
};

// All that is prepared for a shape. Parts differ by one image at most: there are two sizes.
struct Plan {
  Part smaller, larger;
  memory::desc kernel;      // as XLA has it
  bool reordered = false;   // the primitives want another layout
  dnnl::primitive reorder;  // to that layout, or back from it
};

memory::desc Images(int64_t batch, int64_t channels, Pair size) {
  return {{batch, channels, size[0], size[1]}, memory::data_type::f32, memory::format_tag::nhwc};
}

memory::desc Kernel(const Shape& s, bool any) {
  const int64_t in = s.in / s.groups, out = s.out / s.groups;
  memory::dims dims = {s.groups, out, in, s.kernel[0], s.kernel[1]};
  memory::dims strides = {out, 1, s.out, s.kernel[1] * in * s.out, in * s.out};
  if (s.groups == 1) {
    dims.erase(dims.begin());
    strides.erase(strides.begin());
  }
  if (any) return {dims, memory::data_type::f32, memory::format_tag::any};
  return {dims, memory::data_type::f32, strides};
}

Part BuildPart(const Shape& s, int64_t batch, const memory::desc& kernel) {
  Part part;
  part.images = Images(batch, s.in, s.image);
  part.results = Images(batch, s.out, s.result);
  const auto dims = [](Pair pair) { return memory::dims(pair.begin(), pair.end()); };
  const auto strides = dims(s.strides), low = dims(s.low), high = dims(s.high);
  const auto dilation = dims({s.dilation[0] - 1, s.dilation[1] - 1});
  const auto direct = dnnl::algorithm::convolution_direct;
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const auto any = Kernel(s, true);
  const dnnl::convolution_forward::primitive_desc forward(
      Engine(), dnnl::prop_kind::forward_training, direct, part.images,
      s.pass == kForward ? kernel : any, part.results, strides, dilation, low, high, attributes);
  const auto fill = [&](const auto& description, const memory::desc& weights) {
    part.kernel = weights;
    part.scratch = description.scratchpad_desc().get_size();
    part.compute = dnnl::primitive(description.get());
  };
  if (s.pass == kForward) {
    fill(forward, forward.weights_desc());
  } else if (s.pass == kInput) {
    const dnnl::convolution_backward_data::primitive_desc backward(
        Engine(), direct, part.images, kernel, part.results, strides, dilation, low, high, forward,
        attributes);
    fill(backward, backward.weights_desc());
  } else {
    const dnnl::convolution_backward_weights::primitive_desc backward(
        Engine(), direct, part.images, kernel, part.results, strides, dilation, low, high, forward,
        attributes);
    fill(backward, backward.diff_weights_desc());
  }
  return part;
}

Plan Build(const Shape& s) {
  const Threads threads(s.threads);
  Plan plan;
  plan.kernel = Kernel(s, false);
  const int64_t size = s.batch / s.parts;
  plan.smaller = BuildPart(s, size, Kernel(s, true));
  plan.larger = plan.smaller;
  // Both sizes share one kernel.
  if (s.batch % s.parts != 0) plan.larger = BuildPart(s, size + 1, plan.smaller.kernel);
  const auto& wanted = plan.smaller.kernel;
  plan.reordered = wanted != plan.kernel;
  if (plan.reordered) {
    const bool back = s.pass == kWeight;
    plan.reorder = dnnl::reorder(dnnl::reorder::primitive_desc(
        Engine(), back ? wanted : plan.kernel, Engine(), back ? plan.kernel : wanted));
  }
  return plan;
}

const Plan& Cached(const Shape& shape) {
  static std::mutex mutex;
  static std::map<std::vector<int64_t>, std::unique_ptr<const Plan>> plans;
  const std::lock_guard<std::mutex> lock(mutex);
  auto& plan = plans[shape.Key()];
  if (plan == nullptr) plan = std::make_unique<const Plan>(Build(shape));
  return *plan;
}

}  // namespace

#endif  // JRESNET_NATIVE_PLAN_H_
