# Elements: plain C++, the hot loops, compiled once for each set of instructions; capability.cpp chooses
# among them when running.
#
# Nobody reads floating-point exception flags or errno, and without that freedom the compiler does not
# vectorise comparisons and square roots. NaN and Inf keep their meaning: never -ffast-math here. Products
# are not fused with sums, so that every set of instructions gives the same bits.

add_library(gradcore_kernels STATIC cpp/kernels/capability.cpp)
gradcore_target(gradcore_kernels)

function(gradcore_kernels capability)
  set(_name gradcore_kernels_${capability})
  add_library(${_name} OBJECT cpp/kernels/apply.cpp cpp/kernels/apply_units.cpp
                               cpp/kernels/floor.cpp cpp/kernels/measure.cpp
                               cpp/kernels/measure_units.cpp)
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
