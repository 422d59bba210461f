// Package step carries out single steps of a build: RUN in a container of our
// own, WORKDIR, and the trees that --mount puts into a RUN.
//
//	Mount       lower layers + upper -> merged root, detached (nobody sees it)
//	Run         container over the merged root; its output by lines
//	MakeDir     WORKDIR inside a merged root
//	CacheMounts directories that outlive builds, by id and sharing
//
// A RUN has the defaults of a service's container (capabilities, seccomp,
// masked paths) and a network namespace of its own: on the build network, or
// alone with lo. What a mount leaves of itself in the root (the directory or
// file it was mounted on) is taken out again, so that a layer holds what the
// command wrote and nothing else.
//
// The package knows nothing of Dockerfiles, caches of steps or images: package
// solve does.
package step
