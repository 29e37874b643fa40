// Lets a CPU build of torch take device "cuda": a guard and hooks for a device that computes nothing.
// Page-locked memory is plain memory that is remembered, so that is_pinned() tells the truth.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <map>
#include <mutex>

namespace {

constexpr c10::DeviceIndex kDevices = 2;
thread_local c10::DeviceIndex current = 0;

c10::Device device_at(c10::DeviceIndex index) {
  return c10::Device(c10::DeviceType::CUDA, index < 0 ? 0 : index);
}

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return c10::DeviceType::CUDA; }
  c10::Device exchangeDevice(c10::Device device) const override {
    c10::Device before = device_at(current);
    setDevice(device);
    return before;
  }
  c10::Device getDevice() const override { return device_at(current); }
  void setDevice(c10::Device device) const override { current = device_at(device.index()).index(); }
  void uncheckedSetDevice(c10::Device device) const noexcept override { setDevice(device); }
  c10::Stream getStream(c10::Device device) const noexcept override {
    return c10::Stream(c10::Stream::DEFAULT, device_at(device.index()));
  }
  c10::Stream getNewStream(c10::Device device, int) const override { return getStream(device); }
  c10::Stream getDefaultStream(c10::Device device) const override { return getStream(device); }
  c10::Stream exchangeStream(c10::Stream stream) const noexcept override { return stream; }
  c10::DeviceIndex deviceCount() const noexcept override { return kDevices; }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
};
C10_REGISTER_GUARD_IMPL(CUDA, Guard);

std::mutex mutex;
std::map<const char*, size_t> locked;  // from the end of each page-locked allocation to its size

void unlock(void* context) {
  auto* data = static_cast<c10::DataPtr*>(context);
  std::lock_guard<std::mutex> guard(mutex);
  for (auto entry = locked.begin(); entry != locked.end(); ++entry) {
    if (entry->first - entry->second == static_cast<const char*>(data->get())) {
      locked.erase(entry);
      break;
    }
  }
  delete data;
}

struct PageLocked final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    auto* data = new c10::DataPtr(c10::GetCPUAllocator()->allocate(bytes ? bytes : 1));
    std::lock_guard<std::mutex> guard(mutex);
    locked[static_cast<const char*>(data->get()) + (bytes ? bytes : 1)] = bytes ? bytes : 1;
    return {data->get(), data, &unlock, c10::Device(c10::DeviceType::CPU)};
  }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
};
PageLocked page_locked;

}  // namespace

namespace at {

struct CUDAHooks final : CUDAHooksInterface {
  CUDAHooks(CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return kDevices; }
  int getNumGPUs() const override { return kDevices; }
  DeviceIndex current_device() const override { return current; }
  DeviceIndex getCurrentDevice() const override { return current; }
  bool isPinnedPtr(const void* address) const override {
    std::lock_guard<std::mutex> guard(mutex);
    auto entry = locked.upper_bound(static_cast<const char*>(address));
    return entry != locked.end() && entry->first - entry->second <= address;
  }
  Allocator* getPinnedMemoryAllocator() const override { return &page_locked; }
};
REGISTER_CUDA_HOOKS(CUDAHooks);

}  // namespace at
