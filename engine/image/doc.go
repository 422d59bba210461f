// Package image holds the values of the image world: references and their
// transports, an image's configuration, platforms and the choice among them.
//
// It does no I/O. The store keeps images on disk, fetch brings them there,
// layer turns tar streams into trees, snapshot makes root file systems of
// them, registry speaks to registries. Callers are engine and its parts.
package image
