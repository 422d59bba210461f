// Package logs keeps what containers write: one Journal for each container,
// files of lines with their time and stream.
//
// Copy takes a container's FIFO into the journal as fast as it is written and
// holds nothing back: whatever was read is in the file before the next read, and
// in a Memory, which outlives an engine that is killed, until then. So no line is
// lost, none is there twice, and an idle container costs two parked goroutines
// and no buffer. Readers get whole lines, from the beginning or the
// end, and follow without polling.
//
// The package decides nothing about containers; package supervise opens
// journals and says when a container has ended (Drain).
package logs
