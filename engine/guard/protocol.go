package guard

// Guard and engine talk over a SOCK_SEQPACKET socketpair, one message a packet,
// numbers little endian:
//
//	guard                                                    engine
//	  | welcome(version u32, guard pid u32, generation u32)    |
//	  |------------------------------------------------------->|
//	  | kept(name) + its descriptor          ... for each kept |
//	  | exit(pid u32, status u32, start u64) ... for each held |
//	  |------------------------------------------------------->|
//	  | ready()                              Connect returns   |
//	  |------------------------------------------------------->|
//	  |                       keep(name) + a descriptor        |
//	  |                       drop(name)                       |
//	  |                       forget(pid u32, start u64)       |
//	  |                       use(path): the next binary       |
//	  |                       serving(): it answers clients    |
//	  |                       sync(n u32)                      |
//	  |                       bye(): end with me, whatever     |
//	  |                              my exit status            |
//	  |<-------------------------------------------------------|
//	  | exit(...)                  whenever an orphan ends     |
//	  | synced(n u32)              all before sync(n) is done  |
//	  |------------------------------------------------------->|
//
// Nothing else is acknowledged: a packet that was sent is in the guard's queue, which
// outlives the engine and is emptied before the next engine starts. The guard
// never waits for the engine: what cannot be sent now stays in its tables and
// goes when the socket is writable. Messages that make no sense are ignored.
const (
	opWelcome = 'W'
	opKept    = 'k'
	opExit    = 'E'
	opReady   = 'R'
	opKeep    = 'K'
	opDrop    = 'D'
	opForget  = 'F'
	opUse     = 'U'
	opServing = 'S'
	opSync    = 'Y'
	opSynced  = 'y'
	opBye     = 'B'
)

// protocolVersion changes when an engine could not work under an older guard.
const protocolVersion = 1

// maxPacket is the size of the largest packet: an opUse with a long path.
const maxPacket = 4096 + 64

func packet(op byte, numbers ...uint32) []byte {
	b := make([]byte, 1, 1+4*len(numbers))
	b[0] = op
	for _, n := range numbers {
		b = append(b, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	}
	return b
}

func named(op byte, name string) []byte {
	return append([]byte{op}, name...)
}

// number returns the i-th number of a message, 0 if it is not there.
func number(msg []byte, i int) uint32 {
	at := 1 + 4*i
	if len(msg) < at+4 {
		return 0
	}
	return uint32(msg[at]) | uint32(msg[at+1])<<8 | uint32(msg[at+2])<<16 | uint32(msg[at+3])<<24
}

func forgetPacket(p process) []byte {
	return packet(opForget, uint32(p.pid), uint32(p.start), uint32(p.start>>32))
}

func parseForget(msg []byte) process {
	return process{int(number(msg, 0)), uint64(number(msg, 1)) | uint64(number(msg, 2))<<32}
}
