execute_process(COMMAND ${BPFTOOL} gen skeleton ${OBJECT} name ${NAME}_bpf
                OUTPUT_FILE ${SKELETON} RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  file(REMOVE ${SKELETON})
  message(FATAL_ERROR "bpftool gen skeleton ${OBJECT} failed")
endif()
