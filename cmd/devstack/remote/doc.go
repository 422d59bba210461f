// Package remote gets project files that lie elsewhere, and publishes them.
//
//	oci://REPOSITORY[:TAG|@DIGEST]        an artifact, as Compose publishes it (artifact.go)
//	https://HOST/REPO.git#REF:SUBDIR      a git repository, and its other forms (git.go)
//
// What was got stays in a cache by what it is, a digest or a commit, so only
// the question what a tag or a branch stands for now goes out each time. Where
// nobody answers it, the last answer counts, with a warning.
//
// It knows nothing of the engine: everything happens with the files, programs
// and credentials of whoever calls.
package remote
