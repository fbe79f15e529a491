import { testTrial } from "../trial.ts";
import { clockTrials } from "./trials.ts";

for (const trial of clockTrials) testTrial(trial, 4);
