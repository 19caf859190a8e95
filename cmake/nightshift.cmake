# Compiler settings of the whole tree, the libraries it stands on, and the two functions by which
# a folder declares itself: ns_module() and ns_test().

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Kind of build" FORCE)
endif()

# Asserts stay on in release builds: they guard what only a programmer can get wrong, none of them
# is inside a kernel's loop, and a search that runs all night should stop at the first such mistake.
# No -march: the binary must run on every x86-64 or arm64 machine; kernels choose at run time.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O3 -g")

# Empty, or what -fsanitize= takes ("address,undefined", "thread"); set by the presets.
set(NS_SANITIZE "" CACHE STRING "Sanitizers to build with")

add_library(ns_settings INTERFACE)
target_include_directories(ns_settings INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(ns_settings INTERFACE
    _GNU_SOURCE _FILE_OFFSET_BITS=64 NS_VERSION="${PROJECT_VERSION}")
target_compile_options(ns_settings INTERFACE
    -Wall -Wextra -Wconversion -Wshadow -Werror -Wstrict-prototypes -Wmissing-prototypes
    -fno-math-errno -fno-trapping-math)
target_link_libraries(ns_settings INTERFACE m)
if(NS_SANITIZE)
    target_compile_options(ns_settings INTERFACE
        -fsanitize=${NS_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(ns_settings INTERFACE -fsanitize=${NS_SANITIZE})
endif()

# Found here, linked (as PRIVATE) only by the module that calls it.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(PkgConfig REQUIRED)
pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)

# ns_module(NAME FILES file... [DEPENDS module...] [LIBS library...])
#
# The static library ns_NAME of this folder. DEPENDS names modules of ours (without "ns_"), which
# its public header may show; LIBS are third-party libraries, which stay its own secret.
function(ns_module name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "FILES;DEPENDS;LIBS")
    add_library(ns_${name} STATIC ${arg_FILES})
    target_link_libraries(ns_${name} PUBLIC ns_settings PRIVATE ${arg_LIBS})
    foreach(module ${arg_DEPENDS})
        target_link_libraries(ns_${name} PUBLIC ns_${module})
    endforeach()
endfunction()

# ns_test(NAME SOURCES file... LIBS library... [TIMEOUT seconds])
#
# A cmocka program and the ctest of the same name. It runs in its own folder of the build tree and
# may leave files there.
function(ns_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;LIBS")
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    set(work_dir ${CMAKE_CURRENT_BINARY_DIR}/${name}.dir)
    file(MAKE_DIRECTORY ${work_dir})
    add_executable(${name} ${arg_SOURCES})
    target_link_libraries(${name} PRIVATE ns_settings ${arg_LIBS} PkgConfig::CMOCKA)
    add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${work_dir})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT})
endfunction()
