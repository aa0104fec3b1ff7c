/**
 * What is between the hosts: messages, the word about who is there, and streams of pages. What may come in: another way in which
 * a network fails. What must not: the meaning of a message.
 */
package io.gantry.simulation.network;
