# What every target of gradcore has in common.

function(gradcore_target name)
  target_include_directories(${name} PUBLIC "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/..")
  # torch's headers need C++20 from 2.14 on. The device code stays at 17, which every nvcc and every
  # CMake from 3.24 on agrees about.
  set_target_properties(
    ${name}
    PROPERTIES CXX_STANDARD 20
               CXX_STANDARD_REQUIRED ON
               CXX_EXTENSIONS OFF
               CUDA_STANDARD 17
               CUDA_STANDARD_REQUIRED ON
               CUDA_EXTENSIONS OFF
               POSITION_INDEPENDENT_CODE ON
               CXX_VISIBILITY_PRESET hidden
               CUDA_VISIBILITY_PRESET hidden
               VISIBILITY_INLINES_HIDDEN ON)
  # Designated initialisers leave out what has a default, which GCC warns about in C++ alone.
  set(_warnings -Wall -Wextra -Wpedantic -Wno-missing-field-initializers)
  target_compile_options(${name} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${_warnings}>")
  if(GRADCORE_WERROR)
    target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Werror>
                                           $<$<COMPILE_LANGUAGE:CUDA>:--Werror=all-warnings>)
  endif()
  if(GRADCORE_SANITIZE)
    set(_sanitize -fsanitize=${GRADCORE_SANITIZE} -fno-omit-frame-pointer
                  -fno-sanitize-recover=all)
    target_compile_options(${name} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${_sanitize}>")
    target_link_options(${name} PUBLIC ${_sanitize})
  endif()
endfunction()

# Install a library beside gradcore's Python files, able to find torch's libraries.
function(gradcore_install name)
  set(_rpath "$ORIGIN/../torch/lib")
  if(NOT SKBUILD_STATE STREQUAL "wheel")
    # Editable or plain CMake: the library does not lie beside torch.
    list(APPEND _rpath "${GRADCORE_TORCH_DIR}/lib")
  endif()
  set_target_properties(${name} PROPERTIES BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "${_rpath}")
  install(TARGETS ${name} DESTINATION gradcore)
endfunction()
