package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.fown_entry;

/** Where each kind of entry keeps its owner. */
final class FileOwners {
  private FileOwners() {}

  static fown_entry of(file_entry file, Recreation recreation) {
    return switch (file.getType()) {
      case REG -> file.getReg().getFown();
      case PIPE -> file.getPipe().getFown();
      case FIFO -> recreation.file(file.getFifo().getRegfId()).getReg().getFown();
      case INETSK -> file.getIsk().getFown();
      case UNIXSK -> file.getUsk().getFown();
      case PACKETSK -> file.getPsk().getFown();
      case NETLINKSK -> file.getNlsk().getFown();
      case EVENTFD -> file.getEfd().getFown();
      case EVENTPOLL -> file.getEpfd().getFown();
      case TIMERFD -> file.getTfd().getFown();
      case SIGNALFD -> file.getSgfd().getFown();
      case INOTIFY -> file.getIfy().getFown();
      case FANOTIFY -> file.getFfy().getFown();
      case NS -> file.getNsf().getFown();
      case MQUEUE -> file.getMqueue().getFown();
      case PIDFD -> file.getPidfd().getFown();
      case TTY -> file.getTty().getFown();
      case MEMFD -> file.getMemfd().getFown();
      case UND -> throw new CheckpointException("the image is damaged: open file " + file.getId() + " has no type");
    };
  }
}
