# Looks for Eigen 3.4 to 5, alike in reel's own build and in projects that find_package(reel): sets reel_eigen_LACKS, "" where
# it is found. Versions are compared here: packages of Eigen say that one of another first number, 5 after 3, does not do.
macro(reel_find_eigen)
    find_package(Eigen3 QUIET NO_MODULE)
    set(reel_eigen_LACKS "")
    if(NOT Eigen3_FOUND)
        set(reel_eigen_LACKS "reel needs Eigen 3.4 to 5, and CMake finds none (Debian: apt-get install libeigen3-dev)")
    elseif(Eigen3_VERSION VERSION_LESS 3.4 OR NOT Eigen3_VERSION VERSION_LESS 6)
        string(CONCAT reel_eigen_LACKS "reel needs Eigen 3.4 to 5, of whose parts its products are made; found was "
            "${Eigen3_VERSION} in ${Eigen3_DIR}")
    endif()
    if(reel_eigen_LACKS)
        string(APPEND reel_eigen_LACKS ". Give -DEigen3_DIR=, the folder with another's Eigen3Config.cmake.")
    endif()
endmacro()
