// Package state keeps what the engine must know after its own death: one
// record for each project, network and container, JSON with a version, under
// the run root.
//
//	Run/projects/NAME/project.json       what was declared last, and from where
//	Run/projects/NAME/ID.json            one container
//	Run/projects/NAME/ID/                its FIFOs
//
// There is one writer, the engine. A record is replaced as a whole (temporary
// file, fsync, rename), so a reader sees the old or the new one, never half.
package state
