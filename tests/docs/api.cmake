# cmake -DDOXYGEN= -DDOXYFILE= -DOUTPUT= -P api.cmake, in the root of the repository: makes the API reference; a warning
# fails it. Then again, to see which functions and types of a namespace have no comment: EXTRACT_ALL=YES hides that, and
# without it Doxygen warns of every member too, which may go without.
execute_process(COMMAND ${DOXYGEN} ${DOXYFILE} RESULT_VARIABLE status ERROR_VARIABLE warnings OUTPUT_VARIABLE warnings)
if(NOT status EQUAL 0 OR warnings MATCHES "warning:")
    message(FATAL_ERROR "Doxygen (status ${status}):\n${warnings}")
endif()

file(WRITE ${OUTPUT}/strict/Doxyfile "@INCLUDE = ${DOXYFILE}
OUTPUT_DIRECTORY = \"${OUTPUT}/strict\"
EXTRACT_ALL = NO
WARN_IF_UNDOCUMENTED = YES
WARN_AS_ERROR = NO
GENERATE_HTML = NO
EXCLUDE_SYMBOLS += reel::functors reel::generic reel::cpu reel::cuda *SchedulerFile<*
")
execute_process(COMMAND ${DOXYGEN} ${OUTPUT}/strict/Doxyfile RESULT_VARIABLE status ERROR_VARIABLE warnings)
string(REGEX MATCHALL "[^\n]*(Compound [^\n]*|\\((function|typedef|enumeration)\\) of namespace [^\n]*) is not documented" lacking "${warnings}")
string(REGEX MATCHALL "is not documented" members "${warnings}")
list(LENGTH members members)
if(NOT status EQUAL 0 OR members EQUAL 0)
    message(FATAL_ERROR "Doxygen (status ${status}) does not say what is undocumented:\n${warnings}")
elseif(lacking)
    list(JOIN lacking "\n" lacking)
    message(FATAL_ERROR "Functions and types without a comment (///):\n${lacking}")
endif()
file(REMOVE_RECURSE ${OUTPUT}/strict)
