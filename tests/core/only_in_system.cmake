# cmake "-DFILES=a;b" -P only_in_system.cmake: what only some systems have may be named in core/system/ alone, and in
# what reads Linux's own files by a root that tests choose.
set(words "/proc/|renameat2|renamex_np|RENAME_|malloc_trim|<malloc|<sys/sysinfo|sysinfo *\\(|MAP_(ANON|NORESERVE|POPULATE|HUGETLB)|MADV_|madvise|"
    "F_FULLFSYNC|O_TMPFILE|memfd_create|fallocate|copy_file_range|statx|posix_fadvise|prctl|sched_[gs]etaffinity|"
    "program_invocation|getprogname|sysctl|mach_|st_[mc]tim|<linux/|__linux__|__APPLE__|__GLIBC__|ru_maxrss")
string(CONCAT words ${words})
set(found "")
foreach(file IN LISTS FILES)
    if(file MATCHES "/core/system/")
        continue()
    endif()
    file(STRINGS ${file} lines REGEX "${words}")
    foreach(line IN LISTS lines)
        if(line MATCHES "^ *//" OR line MATCHES "root / \"proc/")
            continue()
        endif()
        string(APPEND found "\n${file}: ${line}")
    endforeach()
endforeach()
if(found)
    message(FATAL_ERROR "These are of some systems only; reel/core/system.hpp is where they belong:${found}")
endif()
