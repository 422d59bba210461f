// Package compose is the model of what the user declared: a Project of
// services, networks, volumes, configs and secrets, fully resolved.
//
// The model is pure: values only, no I/O, no root, no Linux. Package
// compose/load makes it from files; every value keeps the place it came from
// (see Project.Pos). The JSON form is what the client sends to the engine and
// survives the way there and back; the canonical form that `devstack config`
// prints is made by load.MarshalJSON and load.MarshalYAML.
//
// devstack's own settings, x-devstack, stay extensions and are read when they
// are asked for (Service.Hold, Service.OwnBuild, Service.AutoPorts).
package compose
