# sallyport_library(NAME SOURCES … [USES layer…] [LIBRARIES target…])
#
# One static library for each folder under agent/. USES names the folders it may include from; a folder
# may use only those that stand before it in this list, so arrows point down only: an include that goes
# the other way finds no header, because each folder exports its headers only to those that use it.
set(SALLYPORT_LAYERS core model config store dataplane netlink doctor reconcile telemetry control api cli)

function(sallyport_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;USES;LIBRARIES" ${ARGN})
  list(FIND SALLYPORT_LAYERS ${name} own)
  if(own EQUAL -1)
    message(FATAL_ERROR "${name} is no layer; add it to cmake/Layers.cmake at its height")
  endif()
  add_library(sallyport_${name} STATIC ${ARG_SOURCES})
  # Headers are seen as "core/result.h". Each layer's folder is linked into an include folder of its own,
  # so that seeing one layer's headers does not mean seeing them all.
  set(include_dir ${CMAKE_BINARY_DIR}/layers/${name})
  file(MAKE_DIRECTORY ${include_dir})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${include_dir}/${name} SYMBOLIC)
  target_include_directories(sallyport_${name} PUBLIC ${include_dir})
  target_link_libraries(sallyport_${name} PRIVATE sallyport_options ${ARG_LIBRARIES})
  foreach(used IN LISTS ARG_USES)
    list(FIND SALLYPORT_LAYERS ${used} height)
    if(height EQUAL -1 OR NOT height LESS own)
      message(FATAL_ERROR "agent/${name} must not use agent/${used}: arrows point down only")
    endif()
    target_link_libraries(sallyport_${name} PUBLIC sallyport_${used})
  endforeach()
endfunction()
