# bpf_object(NAME SOURCE [DEFINES …])
#
# Compiles one BPF program and makes an interface library bpf_NAME that carries its skeleton,
# "NAME.skel.h", with the bytecode embedded: no loose object file is installed.
find_program(BPF_CLANG NAMES clang clang-16 clang-14 REQUIRED)
find_program(BPFTOOL NAMES bpftool PATHS /usr/sbin /sbin REQUIRED)

execute_process(COMMAND ${CMAKE_C_COMPILER} -print-multiarch OUTPUT_VARIABLE BPF_MULTIARCH
                OUTPUT_STRIP_TRAILING_WHITESPACE)

function(bpf_object name source)
  cmake_parse_arguments(ARG "" "" "DEFINES" ${ARGN})
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
  set(skeleton ${CMAKE_CURRENT_BINARY_DIR}/skeletons/${name}.skel.h)
  list(TRANSFORM ARG_DEFINES PREPEND -D)
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${BPF_CLANG} -target bpf -mcpu=v3 -O2 -g -std=gnu11 -fno-strict-aliasing
            -Wall -Wextra -Wshadow -Wno-unused-parameter -Wno-unused-function
            -Wno-address-of-packed-member -Werror -ffile-prefix-map=${PROJECT_SOURCE_DIR}=.
            ${ARG_DEFINES} -I${PROJECT_SOURCE_DIR}/include -I${PROJECT_SOURCE_DIR}/bpf
            -I${CMAKE_CURRENT_SOURCE_DIR} -isystem /usr/include/${BPF_MULTIARCH}
            -MD -MF ${object}.d -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object}
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${source}
    DEPFILE ${object}.d
    COMMENT "BPF ${name}" VERBATIM)
  add_custom_command(
    OUTPUT ${skeleton}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/skeletons
    COMMAND ${CMAKE_COMMAND} -DBPFTOOL=${BPFTOOL} -DOBJECT=${object} -DNAME=${name} -DSKELETON=${skeleton}
            -P ${PROJECT_SOURCE_DIR}/cmake/MakeSkeleton.cmake
    DEPENDS ${object} ${PROJECT_SOURCE_DIR}/cmake/MakeSkeleton.cmake
    VERBATIM)
  add_custom_target(bpf_${name}_skeleton DEPENDS ${skeleton})
  add_library(bpf_${name} INTERFACE)
  add_dependencies(bpf_${name} bpf_${name}_skeleton)
  target_include_directories(bpf_${name} SYSTEM INTERFACE ${CMAKE_CURRENT_BINARY_DIR}/skeletons)
endfunction()
