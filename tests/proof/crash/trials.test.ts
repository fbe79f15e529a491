import { testTrial } from "../trial.ts";
import { crashTrials } from "./trials.ts";

for (const trial of crashTrials) testTrial(trial, 2);
