// Package client is the client's side of the API: Dial finds the engine, or
// starts it, and there is one method for each operation.
//
// Starting is socket activation. Under a lock the client makes the listening
// socket, hands it to a new guard and connects: the connection waits in the
// backlog until the engine accepts it, so nobody polls and nobody sleeps, and of
// twenty clients at once one starts a guard.
//
// The client speaks HTTP/1.1 over a connection of its own instead of through
// http.Client: an operation may upgrade its connection, a cancelled one closes
// it, and the connection of the handshake carries the first operation.
package client
