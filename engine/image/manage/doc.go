// Package manage is what people do with the images of a store: name them,
// look at their history, save them to archives and load them from there,
// remove what is not wanted, see what takes how much.
//
// Nothing here knows engines, containers or builds: what is in use comes from
// the caller as values, through [InUse], and is asked for while nobody writes
// to the store. Whatever is interrupted leaves names that stand for complete
// images, and garbage that the next [Prune] collects.
package manage
