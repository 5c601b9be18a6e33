# The target gradcore_torch: headers and libraries of the torch that torch_pin.py finds.
#
# By hand, since find_package(Torch) of a CUDA build demands a complete CUDA toolkit (cuBLAS, cuFFT,
# cuRAND, ...) of which gradcore uses nothing.
#
# Sets GRADCORE_TORCH_DIR, GRADCORE_TORCH_VERSION and GRADCORE_TORCH_CUDA ("none" for a CPU build).

execute_process(
  COMMAND "${Python_EXECUTABLE}" "${CMAKE_CURRENT_LIST_DIR}/torch_pin.py"
  OUTPUT_VARIABLE _torch
  COMMAND_ERROR_IS_FATAL ANY)
list(GET _torch 0 GRADCORE_TORCH_DIR)
list(GET _torch 1 GRADCORE_TORCH_VERSION)
list(GET _torch 2 GRADCORE_TORCH_CUDA)

function(gradcore_torch_library result name)
  set(${result}
      "${GRADCORE_TORCH_DIR}/lib/${CMAKE_SHARED_LIBRARY_PREFIX}${name}${CMAKE_SHARED_LIBRARY_SUFFIX}"
      PARENT_SCOPE)
endfunction()

gradcore_torch_library(_c10 c10)
gradcore_torch_library(_torch_cpu torch_cpu)
gradcore_torch_library(GRADCORE_TORCH_PYTHON torch_python)

add_library(gradcore_torch INTERFACE)
target_include_directories(
  gradcore_torch SYSTEM INTERFACE "${GRADCORE_TORCH_DIR}/include"
                                  "${GRADCORE_TORCH_DIR}/include/torch/csrc/api/include")
target_link_libraries(gradcore_torch INTERFACE "${_c10}" "${_torch_cpu}")
