# Decides whether the CUDA library is built, and enables the language if so.
#
# Sets GRADCORE_CUDA_VERSION (of torch; empty where the CUDA library is not built) and
# GRADCORE_CUDA_REASON (why not).

include(CheckLanguage)
set(GRADCORE_CUDA_VERSION "")
set(GRADCORE_CUDA_REASON "")

# Enables CUDA, with those architectures of GRADCORE_CUDA_ARCHS that this nvcc knows. A macro:
# enable_language belongs into the scope of the caller.
macro(gradcore_enable_cuda)
  if(NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER "${GRADCORE_NVCC}")
  endif()
  execute_process(
    COMMAND "${CMAKE_CUDA_COMPILER}" --list-gpu-arch
    OUTPUT_VARIABLE _known
    COMMAND_ERROR_IS_FATAL ANY)
  set(CMAKE_CUDA_ARCHITECTURES "")
  foreach(_arch IN LISTS GRADCORE_CUDA_ARCHS)
    string(REGEX MATCH "^[0-9]+" _number "${_arch}")
    if(_known MATCHES "compute_${_number}\n")
      list(APPEND CMAKE_CUDA_ARCHITECTURES "${_arch}")
    else()
      message(STATUS "gradcore: ${CMAKE_CUDA_COMPILER} does not know architecture ${_arch}")
    endif()
  endforeach()
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    message(FATAL_ERROR "gradcore: ${CMAKE_CUDA_COMPILER} knows none of the architectures in "
                        "GRADCORE_CUDA_ARCHS (${GRADCORE_CUDA_ARCHS}).")
  endif()
  enable_language(CUDA)
endmacro()

if(NOT GRADCORE_CUDA STREQUAL "OFF" OR GRADCORE_CUDA_CHECK)
  if(CMAKE_CUDA_COMPILER)
    set(GRADCORE_NVCC "${CMAKE_CUDA_COMPILER}")
  elseif(DEFINED ENV{CUDACXX})
    set(GRADCORE_NVCC "$ENV{CUDACXX}")
  else()
    find_program(
      GRADCORE_NVCC nvcc
      HINTS "$ENV{CUDA_HOME}/bin" /usr/local/cuda/bin
      DOC "CUDA compiler")
  endif()
endif()

if(GRADCORE_CUDA STREQUAL "OFF")
  set(GRADCORE_CUDA_REASON "GRADCORE_CUDA is OFF")
elseif(GRADCORE_TORCH_CUDA STREQUAL "none")
  set(GRADCORE_CUDA_REASON "torch ${GRADCORE_TORCH_VERSION} is a CPU build")
elseif(NOT GRADCORE_NVCC)
  set(GRADCORE_CUDA_REASON "no nvcc was found: set CUDACXX or CUDA_HOME")
else()
  execute_process(
    COMMAND "${GRADCORE_NVCC}" --version
    OUTPUT_VARIABLE _said
    COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCH "release ([0-9]+)\\.[0-9]+" _release "${_said}")
  set(_nvcc_major "${CMAKE_MATCH_1}")
  string(REGEX MATCH "^[0-9]+" _torch_major "${GRADCORE_TORCH_CUDA}")
  if(NOT _torch_major STREQUAL _nvcc_major)
    set(GRADCORE_CUDA_REASON
        "torch was built with CUDA ${GRADCORE_TORCH_CUDA}, and ${GRADCORE_NVCC} is of ${_release}")
  else()
    # An nvcc that does not get along with the C++ compiler must not fail a build that can do without.
    set(ENV{CUDACXX} "${GRADCORE_NVCC}")
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER)
      gradcore_enable_cuda()
      set(GRADCORE_CUDA_VERSION "${GRADCORE_TORCH_CUDA}")
    else()
      set(GRADCORE_CUDA_REASON "${GRADCORE_NVCC} cannot compile: see the log of CMake")
    endif()
  endif()
endif()

if(GRADCORE_CUDA STREQUAL "ON" AND NOT GRADCORE_CUDA_VERSION)
  message(FATAL_ERROR "gradcore: GRADCORE_CUDA is ON, but ${GRADCORE_CUDA_REASON}.")
endif()
