# SPDX-License-Identifier: MIT
# Downloads the CIFAR-10 binary archive, checks it, and unpacks it:
#   cmake -DURL=... -DMD5=... -DFOLDER=... -DPROBLEM_FILE=... -P download.cmake
#
# FOLDER/cifar-10-batches-bin appears only when everything has succeeded, and
# replaces what was there. Otherwise nothing of the download stays, and
# PROBLEM_FILE says why.

set(archive "${FOLDER}/download.tar.gz")
set(unpacked "${FOLDER}/unpacking")
set(name "cifar-10-batches-bin")

function(finish problem)
  file(REMOVE_RECURSE "${archive}" "${unpacked}")
  file(WRITE "${PROBLEM_FILE}" "${problem}")
endfunction()

file(MAKE_DIRECTORY "${FOLDER}")
file(REMOVE_RECURSE "${archive}" "${unpacked}")
message(STATUS "Downloading ${URL}")
file(DOWNLOAD "${URL}" "${archive}"
  SHOW_PROGRESS TLS_VERIFY ON INACTIVITY_TIMEOUT 60 STATUS status)
list(GET status 0 code)
if(NOT code EQUAL 0)
  list(GET status 1 reason)
  finish("expected the archive at ${URL}, got: ${reason}")
  return()
endif()

# By hand: EXPECTED_HASH would leave the altered file in its place.
file(MD5 "${archive}" md5)
if(NOT md5 STREQUAL MD5)
  file(SIZE "${archive}" bytes)
  finish("${URL}: expected an archive with md5 ${MD5}, got ${bytes} bytes \
with md5 ${md5}; nothing of it is used")
  return()
endif()

message(STATUS "Unpacking into ${FOLDER}/${name}")
file(ARCHIVE_EXTRACT INPUT "${archive}" DESTINATION "${unpacked}")
if(NOT EXISTS "${unpacked}/${name}")
  finish("${URL}: expected a folder ${name} in the archive, got none")
  return()
endif()
file(REMOVE_RECURSE "${FOLDER}/${name}")
file(RENAME "${unpacked}/${name}" "${FOLDER}/${name}")
finish("")
