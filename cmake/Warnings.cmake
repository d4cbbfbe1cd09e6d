# What every target of ours is compiled with.
add_library(sallyport_options INTERFACE)
target_compile_options(sallyport_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Wnon-virtual-dtor
  -Woverloaded-virtual -Wimplicit-fallthrough -Werror
  -fno-strict-aliasing -fstack-protector-strong)
if(SALLYPORT_SANITIZE STREQUAL "thread")
  # It does not know fences, of which the flow table's model has some.
  target_compile_options(sallyport_options INTERFACE -fsanitize=thread -Wno-tsan)
  target_link_options(sallyport_options INTERFACE -fsanitize=thread)
elseif(SALLYPORT_SANITIZE)
  # What is found ends the program: a test that only prints it would pass.
  target_compile_options(sallyport_options INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(sallyport_options INTERFACE -fsanitize=address,undefined)
endif()
