#pragma once
// What torch asks of any device: memory, streams, events. There is one queue, in which only copies
// to the host stand; all other work is done at once.

#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/Allocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>

#include <algorithm>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "capture.hpp"

namespace software_device {

inline constexpr auto kType = c10::DeviceType::PrivateUse1;
inline constexpr c10::DeviceIndex kDevices = 2;
inline thread_local c10::DeviceIndex current = 0;

/// What stands in the queue of the device, and what the host has waited for.
class Queue {
 public:
  /// Work that will be done when somebody waits for it, or lets time pass.
  void push(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
  }
  std::size_t size() {
    const std::lock_guard lock(mutex_);
    return work_.size();
  }
  bool done(std::size_t until) {
    const std::lock_guard lock(mutex_);
    return done_ >= until;
  }
  void run(std::size_t until) {
    const std::lock_guard lock(mutex_);
    for (; done_ < std::min(until, work_.size()); ++done_) {
      work_[done_]();
      work_[done_] = nullptr;
    }
  }
  /// The host stands still until everything up to here is done.
  void wait(const std::string& what, std::size_t until) {
    graphs().refuse("waiting for " + what);
    run(until);
    const std::lock_guard lock(mutex_);
    waits_.push_back(what);
  }
  std::vector<std::string> waits() {
    const std::lock_guard lock(mutex_);
    return std::exchange(waits_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<std::function<void()>> work_;
  std::size_t done_ = 0;
  std::vector<std::string> waits_;
};

inline Queue& queue() {
  static Queue* const only = new Queue;  // events may outlive what is static
  return *only;
}

struct Memory final : c10::Allocator {
  c10::DataPtr allocate(std::size_t bytes) override {
    void* const memory = c10::alloc_cpu(bytes);
    return {memory, memory, &c10::free_cpu, c10::Device(kType, current)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &c10::free_cpu; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
};
inline Memory memory;

struct GuardImpl final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kType; }
  c10::Device exchangeDevice(c10::Device device) const override {
    return {kType, std::exchange(current, device.index())};
  }
  c10::Device getDevice() const override { return {kType, current}; }
  void setDevice(c10::Device device) const override { current = device.index(); }
  void uncheckedSetDevice(c10::Device device) const noexcept override { current = device.index(); }
  c10::DeviceIndex deviceCount() const noexcept override { return kDevices; }
  c10::Stream getStream(c10::Device device) const override {
    const auto index = device.has_index() ? device.index() : current;
    return c10::Stream(c10::Stream::DEFAULT, c10::Device(kType, index));
  }
  c10::Stream getDefaultStream(c10::Device device) const override { return getStream(device); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
  bool queryStream(const c10::Stream&) const override { return queue().done(queue().size()); }
  void synchronizeStream(const c10::Stream&) const override {
    queue().wait("a stream", queue().size());
  }
  void synchronizeDevice(c10::DeviceIndex) const override {
    queue().wait("the device", queue().size());
  }
  void record(void** event, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {
    graphs().refuse("an event for the host");
    if (*event == nullptr) *event = new std::size_t;
    *static_cast<std::size_t*>(*event) = queue().size();
  }
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void* event) const override {
    graphs().refuse("asking an event");
    return event == nullptr || queue().done(*static_cast<std::size_t*>(event));
  }
  void synchronizeEvent(void* event) const override {
    if (!queryEvent(event)) queue().wait("an event", *static_cast<std::size_t*>(event));
  }
  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override {
    delete static_cast<std::size_t*>(event);
  }
};
struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return kDevices; }
  void setCurrentDevice(c10::DeviceIndex device) const override { current = device; }
  c10::DeviceIndex getCurrentDevice() const override { return current; }
  c10::Allocator* getPinnedMemoryAllocator() const override {
    graphs().refuse("pinned memory");
    return c10::GetCPUAllocator();
  }
};

}  // namespace software_device
