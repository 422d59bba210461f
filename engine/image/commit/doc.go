// Package commit makes images of trees: a layer of what a step wrote, and an
// image of layers and a configuration.
//
//	upper --sorted walk--> tar --+--> diff-id
//	                             +--> gzip/zstd --+--> digest
//	                                              +--> blob of the store
//
// It is one pass: nothing is read twice, and the tree itself becomes the
// store's unpacked layer by a rename. The bytes depend on the tree and the
// options alone: not on the order of directories on disk, on times after the
// epoch, on the umask, on the number of processors, on names of users.
//
// Callers hold [store.Store.Begin] from their first layer until the image
// that names it is committed; builds do.
package commit
