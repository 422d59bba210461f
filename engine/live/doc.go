// Package live makes edits live: it watches a project's files and carries out
// what package watch makes of the changes.
//
//	notify.Watcher --Batch--> Session --Work--> lane of each service --> Engine
//	                             |
//	                             +--files of the model--> load again, plan, up
//
// A Session is one project being watched. Each service has a lane, which does
// one piece of work after the other; while it builds, a newer edit cancels the
// build and is done together with it. A batch is committed when all its work is
// done; what was not, because the engine died, comes again with the next
// Session, so that the end is the same.
//
// The model is loaded beside what runs, with every file that has a say in it
// (Sources); only one without faults is applied, by a plan that is printed.
//
// What failed is shown, and the next change of the service tries it again.
//
// Containers are equal to the host's files before their program starts: a
// container that the session does not know gets everything its rules copy, by
// content, also one that somebody else made (Project.SetPrepare).
package live
