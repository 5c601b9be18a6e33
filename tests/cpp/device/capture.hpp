#pragma once
// Graphs. While one is captured nothing is done: operators run on copies of what they write to, for
// the shapes of their results. What a GPU would refuse then is refused.

#include <c10/util/Exception.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace software_device {

class Graphs {
 public:
  void begin() {
    TORCH_CHECK(!capturing_, "a graph is being captured already");
    capturing_ = true;
    graphs_.emplace_back();
  }
  /// Ends the capture; the number of the graph.
  std::int64_t end() {
    capturing_ = false;
    return std::int64_t(graphs_.size()) - 1;
  }
  bool capturing() const { return capturing_; }
  void push(std::function<void()> work) {
    if (capturing_) graphs_.back().push_back(std::move(work));
  }
  void replay(std::int64_t graph) const {
    for (const auto& work : graphs_.at(std::size_t(graph))) work();
  }
  void refuse(const std::string& what) const {
    TORCH_CHECK(!capturing_, "operation not permitted when stream is capturing: ", what);
  }

 private:
  bool capturing_ = false;
  std::vector<std::vector<std::function<void()>>> graphs_;
};

inline Graphs& graphs() {
  static Graphs* const only = new Graphs;
  return *only;
}

}  // namespace software_device
