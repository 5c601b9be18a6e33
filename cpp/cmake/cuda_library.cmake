# The second library, `_cuda`: registrations with torch's dispatcher, loaded only where torch has CUDA,
# so that a core built with CUDA can still be imported where torch is a CPU build.

# gradients.cpp is compiled into both libraries: neither exports anything to the other.
set(GRADCORE_CUDA_SOURCES
  cpp/cuda/apply.cu
  cpp/cuda/measure.cu
  cpp/cuda/batches.cpp
  cpp/cuda/glue.cpp
  cpp/tensors/gradients.cpp)

# The same bits as the host: a product that is added is rounded before.
set(GRADCORE_CUDA_OPTIONS "$<$<COMPILE_LANGUAGE:CUDA>:-fmad=false>")

if(GRADCORE_CUDA_VERSION)
  find_package(CUDAToolkit REQUIRED)
  gradcore_torch_library(_c10_cuda c10_cuda)
  add_library(_cuda MODULE ${GRADCORE_CUDA_SOURCES})
  gradcore_target(_cuda)
  target_compile_options(_cuda PRIVATE ${GRADCORE_CUDA_OPTIONS})
  set_target_properties(_cuda PROPERTIES PREFIX "" CUDA_RUNTIME_LIBRARY Shared)
  # The shared runtime, which torch has loaded already, not a second copy of it.
  target_link_libraries(_cuda PRIVATE gradcore_torch "${_c10_cuda}" CUDA::cudart)
  target_link_options(_cuda PRIVATE LINKER:--no-undefined) # an error here, not at the first import
  gradcore_install(_cuda)
endif()

if(GRADCORE_CUDA_CHECK AND NOT GRADCORE_CUDA_VERSION)
  if(NOT GRADCORE_NVCC)
    message(FATAL_ERROR "gradcore: GRADCORE_CUDA_CHECK needs nvcc: set CUDACXX or CUDA_HOME.")
  endif()
  gradcore_enable_cuda()
  # The one header that a CPU build of torch leaves out.
  set(_stub "${CMAKE_BINARY_DIR}/cuda_check")
  file(WRITE "${_stub}/c10/cuda/impl/cuda_cmake_macros.h"
       "#pragma once\n#define C10_CUDA_BUILD_SHARED_LIBS\n")
  add_library(gradcore_cuda_check OBJECT ${GRADCORE_CUDA_SOURCES})
  gradcore_target(gradcore_cuda_check)
  target_compile_options(gradcore_cuda_check PRIVATE ${GRADCORE_CUDA_OPTIONS})
  target_include_directories(gradcore_cuda_check SYSTEM
    PRIVATE "${_stub}" ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  target_link_libraries(gradcore_cuda_check PRIVATE gradcore_torch)
endif()
