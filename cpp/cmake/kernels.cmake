# Elements: plain C++, the hot loops, compiled once for each set of instructions; capability.cpp chooses
# among them when running.
#
# Nobody reads floating-point exception flags or errno, and without that freedom the compiler does not
# vectorise comparisons and square roots. NaN and Inf keep their meaning: never -ffast-math here. Products
# are not fused with sums, so that every set of instructions gives the same bits.

# By the place of this file: the fuzzer of the kernels is a project of its own.
set(_kernels "${CMAKE_CURRENT_LIST_DIR}/../kernels")

add_library(gradcore_kernels STATIC "${_kernels}/capability.cpp")
gradcore_target(gradcore_kernels)

set(_sources apply.cpp apply_units.cpp floor.cpp measure.cpp measure_units.cpp)

function(gradcore_kernels capability)
  set(_name gradcore_kernels_${capability})
  list(TRANSFORM _sources PREPEND "${_kernels}/" OUTPUT_VARIABLE _paths)
  add_library(${_name} OBJECT ${_paths})
  gradcore_target(${_name})
  target_compile_definitions(${_name} PRIVATE GRADCORE_CAPABILITY=${capability})
  target_compile_options(${_name} PRIVATE
    $<$<CONFIG:Release,RelWithDebInfo>:-O3> -fno-math-errno -fno-trapping-math -ffp-contract=off ${ARGN})
  target_sources(gradcore_kernels PRIVATE $<TARGET_OBJECTS:${_name}>)
endfunction()

gradcore_kernels(baseline)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  gradcore_kernels(avx2 -mavx2 -mfma -mf16c)
  # Left alone, GCC stays at vectors of 256 bits.
  gradcore_kernels(avx512 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c
                   -mprefer-vector-width=512)
  foreach(_target gradcore_kernels gradcore_kernels_baseline gradcore_kernels_avx2
                  gradcore_kernels_avx512)
    target_compile_definitions(${_target} PRIVATE GRADCORE_X86)
  endforeach()
endif()
