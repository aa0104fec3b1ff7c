/**
 * The command line: one class per command. What comes in: words somebody typed, and the node's answers. What must never come in:
 * anything that a second program talking to the node could not do as well.
 */
package io.gantry.node.cli;
