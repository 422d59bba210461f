// Package archive copies trees as tar streams: Pack writes one, a Reader
// unpacks one beneath a directory, Place decides where as `cp` does.
//
// Both ends work through an os.Root, so a name or a symbolic link that leads
// out of the tree is an error and never followed, also when somebody changes
// the tree meanwhile (CVE-2018-15664). Device nodes, sockets and FIFOs are not
// copied. The package is portable: client and engine both use it.
package archive
