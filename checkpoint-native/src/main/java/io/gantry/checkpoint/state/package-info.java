/** What a process is besides memory and descriptors: registers, signals, credentials, limits, its place in the tree. */
package io.gantry.checkpoint.state;
