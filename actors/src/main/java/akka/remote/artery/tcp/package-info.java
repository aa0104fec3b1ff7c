/**
 * One class in the place of Akka's of the same name, see {@code docs/decisions/artery-framing.md}. Nothing else belongs here,
 * and nothing of Gantry may come in.
 */
package akka.remote.artery.tcp;
