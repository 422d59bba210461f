// Package server is the engine's side of the API's plumbing: it accepts
// connections of the engine's own user, decodes a request, calls the function
// that the engine registered for the operation, streams its messages and its
// result, and counts who is connected. It knows nothing of what operations do.
//
//	s := server.New(server.Options{Version: v, Build: b})
//	server.Handle(s, api.OpUp, engine.Up)
//	server.HandleDuplex(s, api.OpExec, engine.Exec)
//	err := s.Serve(ctx, listener)
package server
