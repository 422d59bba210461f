// Package source opens what a build reads: contexts (a directory, a tarball,
// standard input, a git repository, a URL), the files that ADD fetches, and
// the roots of images and stages for COPY --from.
//
//	Spec --Open--> Tree --Resolve, Children--> Entry --Digest--> cache keys
//	                 |                           |
//	                 +-- .dockerignore           +-- Cache (stat -> digest)
//
// A Tree is a read-only view of one directory, held by descriptor. It is read
// as far as it is asked for, and once: what a build sees of a context is what
// the first look saw. Links are resolved in the Tree's own index, never by the
// kernel, and every file is opened beneath the root without following
// anything, so nothing outside can be read whatever the tree holds or becomes.
// A file that changes between the look and the copy is a *ChangedError.
//
// Files are hashed only when their stat is not in the Cache: a rebuild of an
// unchanged context costs stats. Digests cover kind, mode, size, content, link
// target and the attributes that images keep, never times; owners count in
// images and stages but not in contexts, whose owners are of the host.
//
// The package writes beneath Options.Dir only (downloads, clones, unpacked
// archives). It decides nothing about destinations: package copy does.
package source
