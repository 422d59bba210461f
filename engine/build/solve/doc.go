// Package solve carries out what package dockerfile plans: stages over
// snapshots, each step once, only those that the target needs.
//
//	target --needs--> stages, one goroutine each; a stage waits for its base
//	                  and for the stages it copies from
//	step --key--> record in the Cache?  -- yes --> its layer
//	                 |
//	                 no: do it over the layers below, commit the upper
//	                     directory as a layer, record it
//
// # Keys
//
// A step's key covers what it works on and what it does, never how that came
// to be: the chain id of the layers below it, the instruction with every
// variable replaced, the digests of what it reads, the epoch, the platform.
// Secrets, ssh sockets, proxies, and what a cache mount holds are not part of
// it, as in BuildKit. A COPY from a stage or an image has two keys: one by the
// other's chain id, which costs nothing to compute, and one by what is copied.
//
// # The same on another day
//
// Times in layers end at the epoch: SOURCE_DATE_EPOCH if given, else the
// newest of the commit that the context is (git contexts) and the base image's
// creation, else 1970. Files of contexts all have it. The image's creation and
// its history say the epoch, too. Nothing in an image tells the machine, the
// user or the day it was built on, as long as what RUN executes does not.
//
// # Sharing
//
// Steps with one key that several builds want at once run once, as long as one
// of them waits for it. A build that is cancelled leaves at once; what it held
// (mounts, trees) goes when nothing uses it any more.
package solve
