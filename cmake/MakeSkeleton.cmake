execute_process(COMMAND ${BPFTOOL} gen skeleton ${OBJECT} name ${NAME}_bpf
                OUTPUT_VARIABLE skeleton RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "bpftool gen skeleton ${OBJECT} failed")
endif()
# What bpftool writes is not ours to mend: it leaks when memory runs out, which clang-tidy sees.
file(WRITE ${SKELETON} "/* NOLINTBEGIN */\n${skeleton}/* NOLINTEND */\n")
