// Package api is what the client and the engine say to each other: plain
// values, JSON on the wire.
//
// Every operation is one HTTP request over the engine's unix socket:
//
//	POST /v1/OP   body: the operation's Request
//	200           body: a stream of Message, one JSON object a line; the last
//	              one carries Result or Error
//
// An operation whose client goes away is cancelled. Exec, Run and Attach
// upgrade the connection and go on with Frames (see frame.go).
package api
