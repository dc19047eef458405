# cmake -DCOMPILER= [-DOPTIONS=] -DSOURCE= -DINCLUDES= -DOUTPUT= -P build.cmake: compiles one file by hand, checks that no header of
# another library came in, and runs it.
list(TRANSFORM INCLUDES PREPEND "-I")
execute_process(COMMAND ${COMPILER} ${OPTIONS} -std=c++20 -Wall -Wextra -Werror ${INCLUDES} -MMD -MF ${OUTPUT}.d ${SOURCE}
    -o ${OUTPUT} -pthread COMMAND_ERROR_IS_FATAL ANY)
file(READ ${OUTPUT}.d included)
string(REGEX MATCH "[^ \n]*/(nlohmann|yaml-cpp|libav[a-z]+|libswscale)/[^ \n]*|[^ \n]*/(zlib|png|utf8proc)\\.h" foreign
    "${included}")
if(foreign)
    message(FATAL_ERROR "A header of reel includes ${foreign} but does not say so in its first lines (\"Needs ...\").")
endif()
execute_process(COMMAND ${OUTPUT} COMMAND_ERROR_IS_FATAL ANY)
