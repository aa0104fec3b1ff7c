/** Stand-ins for engines, page links and hosts, so that the real actors run without processes. Nothing of the protocol is modelled here. */
package io.gantry.simulation;
